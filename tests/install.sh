#!/bin/sh
# install.sh BUILD - what `make install` puts down works for a program outside
# of the tree that knows nothing but pkg-config, and `make uninstall` takes it
# all away again.
set -eu
build=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
make -s B="$build" PREFIX="$dir/usr" install >/dev/null
export PKG_CONFIG_PATH="$dir/usr/lib/pkgconfig"
cp examples/echo.c "$dir/app.c"
cc -o "$dir/app" "$dir/app.c" $(pkg-config --cflags --libs rill-epoll)
cat >"$dir/version.c" <<'END'
#include <rill/rill.h>
#include <string.h>
int main(void) { return strcmp(rill_version(), RILL_VERSION) != 0; }
END
cc -o "$dir/version" "$dir/version.c" $(pkg-config --cflags --libs rill)
LD_LIBRARY_PATH="$dir/usr/lib" "$dir/version"
# linked statically against rill, dynamically against the rest
cc -o "$dir/static" "$dir/version.c" $(pkg-config --cflags rill) \
  "$dir/usr/lib/librill.a" \
  $(pkg-config --static --libs-only-l rill | sed 's/-lrill//')
"$dir/static"
cat >"$dir/keep.c" <<'END'
#include <rill/sqlite.h>
int main(void) {
  rill_store *store;
  rill_hub *hub;
  if (rill_hub_new(&hub, NULL) != 0 ||
      rill_sqlite_open(&store, ":memory:", NULL, NULL, 0) != 0 ||
      rill_store_use(hub, store) != 0)
    return 1;
  rill_hub_free(hub);
  return 0;
}
END
cc -o "$dir/keep" "$dir/keep.c" $(pkg-config --cflags --libs rill-sqlite)
LD_LIBRARY_PATH="$dir/usr/lib" "$dir/keep"
for h in "$dir"/usr/include/rill/*.h; do # each header stands alone, in C++ too
  echo "#include <rill/$(basename "$h")>" >"$dir/one.c"
  cc -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only \
    -I"$dir/usr/include" "$dir/one.c"
  if command -v c++ >/dev/null; then
    c++ -x c++ -std=c++11 -Wall -Wextra -Werror -fsyntax-only \
      -I"$dir/usr/include" "$dir/one.c"
  fi
done
LD_LIBRARY_PATH="$dir/usr/lib" "$dir/app" >"$dir/out" &
app=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
  grep -q listening "$dir/out" && break
  sleep 0.2
done
grep -q listening "$dir/out"
kill -TERM $app
wait $app
make -s B="$build" PREFIX="$dir/usr" uninstall >/dev/null
left=$(find "$dir/usr" ! -type d)
[ -z "$left" ] || { echo "install: left behind: $left" >&2; exit 1; }
echo "install: a program outside of the tree builds, links and runs"
