#!/bin/sh
# manpages.sh CC PAGE... - the manual is true to the headers:
#
# - each function of include/rill/*.h is in the NAME of one page, and its
#   prototype in that page's SYNOPSIS is the header's;
# - what a page names (functions, types, constants, structs, pages) exists,
#   and no constant is left out;
# - the tables of rill-limits(7), rill-metrics(7) and the error texts of
#   rill_strerror(3) are the headers';
# - each literal display that begins with "/* example */" compiles.
#
# Called from the root of the repository.
set -eu
cc=$1
shift
headers='include/rill/*.h'
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Complains of each line on stdin.
complain() {
  sed "s|^|manpages: $1: |" >>"$dir/complaints"
}

# Complains where two files differ.
same() {
  diff "$2" "$3" | grep '^[<>]' | complain "$1" || true
}

# Each header without comments and blanks, on one line: NAME TEXT.
awk '
  { if (FNR == 1) order[++n] = FILENAME
    text[FILENAME] = text[FILENAME] $0 "\n" }
  END {
    for (i = 1; i <= n; i++) {
      t = text[order[i]]
      flat = ""
      while ((at = index(t, "/*")) > 0) {
        flat = flat substr(t, 1, at - 1)
        t = substr(t, at + 2)
        t = substr(t, index(t, "*/") + 2)
      }
      flat = flat t
      gsub(/[ \t\n]/, "", flat)
      sub(/^include\//, "", order[i])
      print order[i], flat
    }
  }' $headers >"$dir/flat"

# The functions; a macro stands for the one of its name and "_".
cat $headers | grep -v '^#' | tr '\n' ' ' | grep -o 'RILL_API [^;]*;' |
  sed -n 's/^RILL_API[^(]*[ *]\(rill_[a-z0-9_]*\)(.*/\1/p' |
  sed 's/_$//' | sort >"$dir/functions"
sed -n 's/^static inline .*[ *]\(rill_[a-z0-9_]*\)(.*/\1/p' $headers |
  sort - "$dir/functions" >"$dir/known"

# All names of the headers, as the compiler sees them.
printf '#include <rill/%s.h>\n' epoll rill sqlite >"$dir/all.c"
{
  $cc -std=c11 -Iinclude -E -P "$dir/all.c"
  $cc -std=c11 -Iinclude -E -dM "$dir/all.c" | sed -n 's/^#define //p'
} | tr -c 'A-Za-z0-9_' '\n' | grep -i '^rill_' | sort -u >"$dir/words"

# What the pages say, one line each: KIND PAGE TEXT; and the examples, as
# files.  A prototype and a struct are written without blanks.
awk -v dir="$dir" '
  function say(kind, text) { print kind, page, text }
  function squeeze(s) { gsub(/[ \t\n]/, "", s); return s }
  function unquote(s) { gsub(/"/, "", s); return s }
  function prototype() {
    if (section == "SYNOPSIS")
      say("prototype", squeeze(type name "(" args ");"))
    args = ""
  }
  function unescape(s) {
    sub(/^\\&/, "", s)
    gsub(/\\-/, "-", s)
    gsub(/\\\(aq/, "\047", s)
    gsub(/\\\(ga/, "`", s)
    gsub(/\\\(ha/, "^", s)
    gsub(/\\\(ti/, "~", s)
    gsub(/\\e/, "\\", s)
    return s
  }
  function end_display() {
    if (first == "/* example */") {
      file = page
      gsub(/\//, "_", file)
      file = dir "/" file "." ++examples ".c"
      printf "%s", body >file
      close(file)
      say("example", examples)
    } else if (first ~ /^(typedef|struct|enum|union) /) {
      say("struct", squeeze(body))
    }
  }
  FNR == 1 { page = FILENAME; section = "" }
  /^\.Ed/ { if (literal) end_display(); literal = 0; next }
  literal {
    line = unescape($0)
    if (body == "") first = line
    body = body line "\n"
    next
  }
  /^\.Bd -literal/ { literal = 1; body = first = ""; next }
  /^\.Sh/ { section = substr($0, 5) }
  /^\.Nm/ && section == "NAME" { say("name", $2) }
  /^\.In/ && section == "SYNOPSIS" { say("include", $2) }
  /^\.Fd/ { say("define", $3) }
  /^\.Ft/ { type = unquote(substr($0, 5)) }
  /^\.Fo/ { name = $2; args = "" }
  /^\.Fa/ && name != "" {
    args = args (args == "" ? "" : ",") unquote(substr($0, 5))
  }
  /^\.Fc/ { prototype(); name = "" }
  /^\.Fn/ && section == "SYNOPSIS" {
    n = split($0, part, "\"")
    name = substr(part[1], 5)
    for (i = 2; i <= n; i += 2)
      args = args (args == "" ? "" : ",") part[i]
    prototype()
    name = ""
  }
  {
    n = split($0, word, " ")
    for (i = 1; i < n; i++) {
      at = word[i + 1] == "(" ? i + 2 : i + 1
      if (word[i] ~ /^\.?Xr$/)
        say("xr", word[at] "." word[at + 1])
      if (word[i] ~ /^\.?(Fn|Fo)$/ && word[at] ~ /^rill_/)
        say("fn", word[at])
      if (word[i] ~ /^\.?(Dv|Vt)$/ && word[at] ~ /^(RILL|rill)_/)
        say("word", word[at])
    }
  }' "$@" >"$dir/said"
said() {
  sed -n "s/^$1 \([^ ]*\) /\1 /p" "$dir/said"
}

said name | grep -v ' rill$' | grep ' .*_' | cut -d' ' -f2 | sort >"$dir/named"
same 'named by the headers (<) and in NAME sections (>)' "$dir/known" \
  "$dir/named"

# A prototype stands in a header that the page includes.
awk -v said="$dir/said" '
  { flat[$1] = $2 }
  END {
    while ((getline line <said) > 0) {
      split(line, w, " ")
      if (w[1] == "include") inc[w[2]] = inc[w[2]] " " w[3]
      if (w[1] == "struct" && all() && index(everything, w[3]) == 0)
        print w[2] ": not in the headers: " w[3]
      if (w[1] == "prototype" && !found(inc[w[2]], w[3]))
        print w[2] ": not in the headers included: " w[3]
    }
  }
  function all(h) {
    if (everything == "")
      for (h in flat) everything = everything flat[h]
    return 1
  }
  function found(list, p, n, h, i, body) {
    n = split(list, h, " ")
    body = substr(p, 1, length(p) - 1)
    for (i = 1; i <= n; i++)
      if (index(flat[h[i]], "RILL_API" p) > 0 ||
          index(flat[h[i]], "staticinline" body "{") > 0 ||
          (p ~ /^typedef/ && index(flat[h[i]], p) > 0))
        return 1
    return 0
  }' "$dir/flat" | complain 'prototypes and structs'

# Each name of a section 3 page has a prototype or a define beside it.
{
  said prototype | sed 's/^\([^ ]*\) .*[*a-z]\(rill_[a-z0-9_]*\)(.*/\1 \2/' |
    sed 's/ [a-z0-9_]*rill_/ rill_/'
  said define | sed 's/(.*//'
} | sort -u >"$dir/shown"
said name | grep '\.3 ' | sort | comm -23 - "$dir/shown" |
  complain 'no prototype'
said define | cut -d' ' -f2 | while IFS= read -r macro; do
  grep -qF "#define $macro" $headers || echo "$macro"
done | complain 'no such macro'

said xr | sort -u | while read -r page ref; do
  case $ref in
    rill*) [ -f "man/$ref" ] || echo "$page: $ref" ;;
  esac
done | complain 'no such page'
for page in "$@"; do
  ref=${page##*/}
  [ "$ref" = rill.7 ] || said xr | grep -qxF "man/rill.7 $ref" || echo "$ref"
done | complain 'not in the index of rill(7)'
said fn | cut -d' ' -f2 | sort -u | comm -23 - "$dir/known" |
  complain 'no such function'
said word | cut -d' ' -f2 | sort -u >"$dir/used"
comm -23 "$dir/used" "$dir/words" | complain 'not in the headers'
grep '^RILL_' "$dir/words" | grep -v -e '_H$' -e '^RILL_X$' \
  -e '^RILL_API$' -e '^RILL_MUST_CHECK$' -e '^RILL_CAUSE_NONE$' \
  -e '^RILL_\(ERRORS\|CAUSES\|LIMITS\|METRICS\)$' >"$dir/constants"
# RILL_VERSION and RILL_STR are in a SYNOPSIS only.
said define | cut -d' ' -f2 | sed 's/(.*//' | sort -u - "$dir/used" |
  comm -13 - "$dir/constants" | complain 'in no page'

# The tables.
sed -n 's/^ *X(\([a-z_]*\), *\([0-9]*\), *\([A-Z0-9_]*\), *"\(.*\)").*/\1 \2 \3 \4/p' \
  include/rill/limits.h | sed 's/RILL_UNLIMITED/unlimited/' | awk '
  { unit = "count"
    if ($1 ~ /_bytes$/ || $1 == "bytes_burst") unit = "bytes"
    else if ($1 ~ /_ms$/) unit = "ms"
    else if ($1 == "bytes_per_sec") unit = "bytes/s"
    else if ($1 ~ /_per_sec$/) unit = "1/s"
    else if ($1 ~ /_ratio$/) unit = "times"
    outcome = $4
    for (i = 5; i <= NF; i++) outcome = outcome " " $i
    print ".It " $1 " Ta " $2 " Ta " $3 " Ta " unit " Ta " outcome }' \
  >"$dir/limits"
sed -n 's/^ *X(\([a-z_]*\), \([a-z]*\), "\(.*\)").*/.It \1 Ta \2 Ta \3/p' \
  include/rill/metrics.h >"$dir/metrics"
sed -n 's/^  X(\([A-Z_]*\), -[0-9]*, "\(.*\)").*/RILL_ERR_\1 \2/p' \
  include/rill/base.h >"$dir/errors"
for table in limits metrics errors; do
  [ -s "$dir/$table" ] || echo "$table" | complain 'no table in the header'
done
grep '^\.It [a-z_]* Ta ' man/rill-limits.7 >"$dir/limits.page" || true
grep '^\.It [a-z_]* Ta ' man/rill-metrics.7 >"$dir/metrics.page" || true
sed -n '/^\.It Dv RILL_ERR_[A-Z_]*$/{s/.*Dv //;N;s/\n/ /;p;}' \
  man/rill_strerror.3 >"$dir/errors.page"
same 'limits in the header (<) and the page (>)' "$dir/limits" \
  "$dir/limits.page"
same 'metrics in the header (<) and the page (>)' "$dir/metrics" \
  "$dir/metrics.page"
same 'errors in the header (<) and the page (>)' "$dir/errors" \
  "$dir/errors.page"
cut -d' ' -f2 "$dir/limits" | while IFS= read -r limit; do
  grep -q "^\.It Va \(.* , \)*$limit\( ,\|\$\)" man/rill-limits.7 ||
    echo "$limit"
done | complain 'not explained in rill-limits(7)'

examples=$(said example | wc -l)
[ "$examples" -gt 0 ] || echo 'none found' | complain examples
for example in "$dir"/*.[37].*.c; do
  $cc -std=c11 -Wall -Wextra -Werror -Iinclude -fsyntax-only "$example" 2>&1 ||
    true
done | sed "s|$dir/||g" | complain example

if [ -s "$dir/complaints" ]; then
  cat "$dir/complaints" >&2
  exit 1
fi
echo "manpages: $# pages, $(wc -l <"$dir/named") functions," \
  "$examples examples"
