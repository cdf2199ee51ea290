#!/bin/sh
# interop.sh BUILD - stock clients and servers from npm, and Chromium.  A file
# of tests that does not end, for a failure has left something open, fails.
set -eu
RILL_BUILD=$(cd "$1" && pwd)
export RILL_BUILD
for dir in tests/interop tests/browser; do
  cd "$dir"
  for file in *.test.mjs; do
    echo "  RUN  $dir/$file"
    timeout 240 node --test --test-reporter=spec "$file"
  done
  cd ../..
done
