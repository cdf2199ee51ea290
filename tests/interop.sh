#!/bin/sh
# interop.sh BUILD - stock clients and servers from npm, and Chromium.
set -eu
RILL_BUILD=$(cd "$1" && pwd)
export RILL_BUILD
for dir in tests/interop tests/browser; do
  echo "  RUN  $dir"
  (cd $dir && node --test --test-reporter=spec ./*.test.mjs)
done
