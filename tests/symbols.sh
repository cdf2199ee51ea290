#!/bin/sh
# symbols.sh DIR - the shared libraries in DIR export exactly the functions
# that include/rill/*.h declare with RILL_API.
set -eu
declared=$(cat include/rill/*.h | grep -v '^#' | tr '\n' ' ' | grep -o 'RILL_API [^;]*;' |
  sed -n 's/^RILL_API[^(]*[ *]\(rill_[a-z0-9_]*\)(.*/\1/p' | sort -u)
exported=$(nm -D --defined-only "$1"/librill*.so |
  awk '$2 ~ /[TDBRW]/ { sub(/@.*/, "", $3); print $3 }' | sort -u)
if [ "$declared" != "$exported" ]; then
  echo "symbols: declared (<) and exported (>) differ:" >&2
  tmp=$(mktemp)
  echo "$declared" >"$tmp"
  echo "$exported" | diff "$tmp" - >&2 || true
  rm -f "$tmp"
  exit 1
fi
echo "symbols: $(echo "$exported" | wc -l) declared and exported"
