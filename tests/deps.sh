#!/bin/sh
# deps.sh PACKAGE... - installs what is missing: Debian packages, Node.js and
# the npm packages of the tests.  Does nothing where all is there.
set -eu
missing=
for p in "$@"; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' ||
    missing="$missing $p"
done
command -v node >/dev/null || missing="$missing nodejs"
command -v npm >/dev/null || missing="$missing npm"
if [ -n "$missing" ]; then
  sudo=
  [ "$(id -u)" -eq 0 ] || sudo=sudo
  $sudo apt-get update
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y \
    --no-install-recommends $missing
fi
for dir in tests/interop tests/browser tests/bench; do
  [ -f $dir/package.json ] || continue
  if [ ! -e $dir/node_modules/.package-lock.json ] ||
    [ $dir/package-lock.json -nt $dir/node_modules/.package-lock.json ]; then
    (cd $dir && PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --no-audit --no-fund)
  fi
done
