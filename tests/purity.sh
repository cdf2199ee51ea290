#!/bin/sh
# purity.sh OBJECT... - fails if an object of the core needs a symbol that is
# not in the list: the proof that the core makes no system call.
set -eu
allowed='^(rill_|mem(cpy|move|set|cmp|chr)(_chk)?$|str(len|cmp|ncmp|chr)$'
allowed="$allowed"'|__mem(cpy|move|set)_chk$|realloc$|free$'
allowed="$allowed"'|__assert_fail$|__stack_chk_fail$|_GLOBAL_OFFSET_TABLE_$'
allowed="$allowed"'|wslay_frame_|llhttp_|mpack_'
allowed="$allowed"'|yajl_(alloc|config|parse|complete_parse|free)$'
allowed="$allowed"'|(deflate|inflate)(Init2_|End|Reset|Params|Bound|[GS]etDictionary)?$'
allowed="$allowed"'|mbedtls_(sha1|sha1_ret|base64_encode|base64_decode|md_hmac'
allowed="$allowed"'|md_info_from_type)$)'
bad=$(nm -u "$@" | awk '$1 == "U" { print $2 }' | sort -u |
  grep -Ev "$allowed" || true)
if [ -n "$bad" ]; then
  echo "purity: the core needs what it must not:" >&2
  echo "$bad" >&2
  nm -A -u "$@" | grep -F "$bad" >&2
  exit 1
fi
# no state of its own either: nothing in a writable section
data=$(objdump -t "$@" | awk '/file format/ { file = $1 }
  $NF !~ /^\./ && / (\.data|\.bss|\.tdata|\.tbss|\*COM\*)\t/ {
    print file, $NF }')
if [ -n "$data" ]; then
  echo "purity: the core has writable data:" >&2
  echo "$data" >&2
  exit 1
fi
echo "purity: the core is pure"
