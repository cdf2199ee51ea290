# rill - embeddable real-time messaging.  GNU make.  Override in config.mak.
PREFIX     = /usr/local
LIBDIR     = $(PREFIX)/lib
INCLUDEDIR = $(PREFIX)/include
MANDIR     = $(PREFIX)/share/man
CFLAGS     = -O2 -g
B          = build
V          = 0
FUZZ_SECONDS = 60
SEEDS      = 1000
SEED       = 1
-include config.mak
# Nothing to edit below.

VERSION := $(shell sed -n 's/^\#define RILL_VERSION "\(.*\)"/\1/p' include/rill/base.h)
SOVERSION := 0

WARN = -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow \
  -Wformat=2 -Wvla -Wstrict-prototypes -Wmissing-prototypes \
  -Wimplicit-fallthrough -Wnull-dereference -Wdouble-promotion -Wcast-qual \
  -Wundef -Wdate-time -Werror=format-security -Werror=implicit \
  -Werror=int-conversion -Werror=incompatible-pointer-types
ifdef CI
WARN += -Werror
endif
HARDEN = -fstack-protector-strong -fno-delete-null-pointer-checks \
  -fno-strict-overflow -fno-common
ifeq ($(findstring sanitize,$(CFLAGS)),)
HARDEN += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
endif
LINK_HARDEN = -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed
ifeq ($(findstring sanitize,$(CFLAGS)),)
DEFS = -Wl,-z,defs
endif

# llhttp: the system's library where pkg-config knows one, else Debian's
# node-llhttp, whose C sources are compiled in strict mode.
LLHTTP_SRC = /usr/share/llhttp
ifeq ($(shell pkg-config --exists libllhttp 2>/dev/null && echo yes),yes)
LLHTTP_CFLAGS := $(shell pkg-config --cflags libllhttp)
LLHTTP_LIBS := $(shell pkg-config --libs libllhttp)
LLHTTP_OBJS :=
else
LLHTTP_CFLAGS := -isystem /usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1
LLHTTP_LIBS :=
LLHTTP_OBJS := $(patsubst %,$(B)/llhttp/%.o,api http llhttp)
endif
YAJL_LIBS = -lyajl
MPACK_LIBS = -lmpack
WSLAY_LIBS = -lwslay
MBEDTLS_LIBS = -lmbedtls -lmbedx509 -lmbedcrypto
ZLIB_LIBS = -lz
SQLITE_LIBS = -lsqlite3
CORE_LIBS = $(strip $(LLHTTP_LIBS) $(WSLAY_LIBS) $(MBEDTLS_LIBS) $(ZLIB_LIBS) \
  $(YAJL_LIBS) $(MPACK_LIBS))

ALL_CFLAGS = -std=c11 -D_POSIX_C_SOURCE=200809L -Iinclude -Ilib -fPIC \
  -fvisibility=hidden -ffile-prefix-map=$(CURDIR)=. -MMD -MP $(WARN) \
  $(HARDEN) $(LLHTTP_CFLAGS) $(CFLAGS) $(CPPFLAGS)
LINK = $(CC) $(CFLAGS) $(LDFLAGS) $(LINK_HARDEN)

objects = $(patsubst %.c,$(B)/%.o,$(sort $(wildcard $(1))))
programs = $(patsubst %.c,$(B)/%,$(sort $(wildcard $(1))))

CORE := $(call objects,lib/base/*.c lib/wire/*.c lib/hub/*.c lib/people/*.c lib/client/*.c \
  lib/store/memory.c)
EPOLL := $(call objects,lib/loop/*.c)
SQLITE := $(call objects,lib/store/sqlite*.c)
# What of the core's inside an adapter uses; its shared library has a copy.
INSIDE := $(patsubst %,$(B)/lib/%.o,wire/proxy base/ip base/ip_text)
PCS := rill rill-epoll rill-sqlite
LIBS := $(foreach l,$(PCS),$(B)/lib/lib$(l).a $(B)/lib/lib$(l).so)
EXAMPLES := $(call programs,examples/*.c)
UNIT := $(filter-out %/test_oom_libc,$(call programs,tests/unit/test_*.c))
PLAIN := $(call programs,tests/unit/test_oom_libc.c)
FUZZ := $(patsubst tests/fuzz/fuzz_%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
INTEROP := $(filter-out %_commands,$(call programs,tests/interop/*.c))
MANS := $(sort $(wildcard man/*.[37]))
STATIC := $(B)/lib/librill-epoll.a $(B)/lib/librill.a
WITH_SQLITE := $(B)/lib/librill-sqlite.a

ifeq ($(V),0)
say = @printf '  %-4s %s\n' $(1) $(2);
else
say =
endif

all: $(LIBS) $(EXAMPLES)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) $(ALL_CFLAGS) -c -o $@ $<

$(B)/llhttp/%.o: $(LLHTTP_SRC)/%.c
	@mkdir -p $(@D)
	$(call say,CC,$@) $(CC) -std=c11 -w $(LLHTTP_CFLAGS) -fPIC \
	  -fvisibility=hidden $(HARDEN) $(CFLAGS) -c -o $@ $<

$(B)/lib/librill.a: $(CORE) $(LLHTTP_OBJS)
$(B)/lib/librill-epoll.a: $(EPOLL)
$(B)/lib/librill-sqlite.a: $(SQLITE)
$(B)/lib/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(call say,AR,$@) $(AR) rcsD $@ $^

$(B)/lib/librill.so: $(CORE) $(LLHTTP_OBJS) lib/rill.map
	@mkdir -p $(@D)
	$(call say,LD,$@) $(LINK) $(DEFS) -shared -Wl,-soname,$(@F).$(SOVERSION) \
	  -Wl,--version-script=lib/rill.map -o $@ $(filter %.o,$^) $(CORE_LIBS)
	@ln -sf $(@F) $@.$(SOVERSION)

$(B)/lib/librill-epoll.so: $(EPOLL) $(INSIDE) $(B)/lib/librill.so lib/rill.map
	$(call say,LD,$@) $(LINK) $(DEFS) -shared -Wl,-soname,$(@F).$(SOVERSION) \
	  -Wl,--version-script=lib/rill.map -o $@ $(filter %.o,$^) -L$(B)/lib \
	  -lrill -pthread
	@ln -sf $(@F) $@.$(SOVERSION)

$(B)/lib/librill-sqlite.so: $(SQLITE) $(B)/lib/librill.so lib/rill.map
	$(call say,LD,$@) $(LINK) $(DEFS) -shared -Wl,-soname,$(@F).$(SOVERSION) \
	  -Wl,--version-script=lib/rill.map -o $@ $(filter %.o,$^) -L$(B)/lib \
	  -lrill $(SQLITE_LIBS) -pthread
	@ln -sf $(@F) $@.$(SOVERSION)

# Made anew for each PREFIX, so at installation.
pc = sed -e 's|@PREFIX@|$(PREFIX)|;s|@LIBDIR@|$(LIBDIR)|' \
  -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|;s|@VERSION@|$(VERSION)|' \
  -e 's|@CORE_LIBS@|$(CORE_LIBS)|;s|@SQLITE_LIBS@|$(SQLITE_LIBS)|' pkgconfig/$(1).pc.in

# These keep things in a database.
$(patsubst %,$(B)/%,examples/chat tests/interop/rooms_server): $(B)/%: \
  $(B)/%.o $(WITH_SQLITE) $(STATIC)
	$(call say,LD,$@) $(LINK) -o $@ $^ $(SQLITE_LIBS) $(CORE_LIBS) -pthread

$(B)/examples/%: $(B)/examples/%.o $(STATIC)
	$(call say,LD,$@) $(LINK) -o $@ $^ $(CORE_LIBS) -pthread

# The store is tested by itself: its completions are the test's.
$(call programs,tests/unit/test_sqlite*.c): $(B)/%: $(B)/%.o $(WITH_SQLITE) \
  $(STATIC)
	$(call say,LD,$@) $(LINK) -Wl,--wrap=rill_store_complete -o $@ $^ \
	  $(SQLITE_LIBS) $(CORE_LIBS) -lcmocka -pthread

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(STATIC)
	$(call say,LD,$@) $(LINK) -o $@ $^ $(CORE_LIBS) -lcmocka -pthread

$(B)/tests/sim/sim: $(call objects,tests/sim/*.c) $(STATIC)
	$(call say,LD,$@) $(LINK) -o $@ $^ $(CORE_LIBS) -pthread

$(B)/tests/interop/%: $(B)/tests/interop/%.o $(STATIC)
	$(call say,LD,$@) $(LINK) -o $@ $^ $(CORE_LIBS) -pthread

$(B)/tests/interop/events_server: $(B)/tests/interop/events_commands.o

# A fuzz target with a main that replays a corpus, or with libFuzzer's.
$(B)/tests/fuzz/replay_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/driver.o \
  $(STATIC)
	$(call say,LD,$@) $(LINK) -o $@ $^ $(CORE_LIBS)
$(B)/tests/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(STATIC)
	$(call say,LD,$@) $(LINK) -fsanitize=fuzzer -o $@ $^ $(CORE_LIBS)

# The chat under load, killed at random moments: nothing acknowledged is lost.
ROUNDS = 200
kill9: $(B)/examples/chat
	@RILL_BUILD=$(abspath $(B)) node tests/kill9/kill9.mjs $(ROUNDS)

# Everything that the machine lacks and the rest needs; installs as root.
APT = gcc libc6-dev clang pkg-config libwslay-dev libmbedtls-dev node-llhttp \
  zlib1g-dev libyajl-dev libmpack-dev libsqlite3-dev \
  uthash-dev libcmocka-dev mandoc binutils
APT_TEST = valgrind chromium python3 libclang-rt-14-dev libwebsockets-dev
deps:
	@sh tests/deps.sh $(APT) $(APT_TEST)

# The checks, each by itself; `check` runs them all.
check: all unit replay simcheck purity symbols manlint installcheck interop
	@$(MAKE) --no-print-directory kill9 ROUNDS=10
	@echo "check: all passed"

unit: $(UNIT) $(PLAIN)
	@set -e; for t in $(UNIT) $(PLAIN); do echo "  RUN  $$t"; $$t; done

replay: $(patsubst %,$(B)/tests/fuzz/replay_%,$(FUZZ))
	@set -e; for t in $(FUZZ); do echo "  RUN  replay $$t"; \
	  $(B)/tests/fuzz/replay_$$t tests/fuzz/corpus/$$t; done

simcheck: $(B)/tests/sim/sim
	@$(B)/tests/sim/sim --replay tests/sim/seeds.txt --seeds 60 --first 1

sim: $(B)/tests/sim/sim
	$(B)/tests/sim/sim --seeds $(SEEDS) --first $(SEED)

# The core calls memory and string functions, wslay, llhttp, zlib and
# mbedTLS; no system call, clock, file, locale or stdio.
purity: $(CORE)
	@sh tests/purity.sh $(CORE)

# The shared libraries export what the headers declare, no less, no more.
symbols: $(LIBS)
	@sh tests/symbols.sh $(B)/lib

manlint:
	@mandoc -Tlint -Wwarning $(MANS)
	@sh tests/manpages.sh '$(CC)' $(MANS)

installcheck: all
	@sh tests/install.sh $(B)

interop: all $(INTEROP)
	@sh tests/interop.sh $(B)

ASAN = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
  -fno-sanitize-recover=all
asan:
	@$(MAKE) B=$(B)/asan CFLAGS='$(ASAN)' PLAIN= all unit replay simcheck

tsan:
	@$(MAKE) B=$(B)/tsan CFLAGS='-O1 -g -fsanitize=thread' PLAIN= tsan-run
tsan-run: $(patsubst %,$(B)/tests/unit/test_%,post epoll sqlite)
	@set -e; for t in $^; do echo "  RUN  $$t"; $$t; done

memcheck: $(UNIT)
	@set -e; for t in $(UNIT); do echo "  RUN  valgrind $$t"; \
	  valgrind -q --error-exitcode=9 --leak-check=full $$t; done

fuzz:
	@$(MAKE) B=$(B)/fuzz CC=clang fuzz-run \
	  CFLAGS='-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all'
fuzz-run: $(patsubst %,$(B)/tests/fuzz/fuzz_%,$(FUZZ))
	@set -e; for t in $(FUZZ); do \
	  echo "  FUZZ $$t for $(FUZZ_SECONDS) s"; mkdir -p $(B)/corpus/$$t; \
	  $(B)/tests/fuzz/fuzz_$$t -max_total_time=$(FUZZ_SECONDS) -timeout=10 \
	    -rss_limit_mb=2048 -artifact_prefix=$(B)/corpus/$$t- \
	    -print_final_stats=1 -verbosity=0 $(B)/corpus/$$t \
	    tests/fuzz/corpus/$$t; done

LOAD := $(call objects,tests/bench/load*.c) $(B)/tests/bench/accept.o
LWS := $(shell pkg-config --exists libwebsockets 2>/dev/null && echo yes)
BENCH := $(patsubst %,$(B)/tests/bench/%,bare load micro_ws sio_server \
  store_bench crowd \
  $(if $(LWS),lws_peer))
$(B)/tests/bench/bare: $(B)/tests/bench/bare.o $(B)/tests/bench/accept.o
	$(call say,LD,$@) $(LINK) -o $@ $^
$(B)/tests/bench/load: $(LOAD)
	$(call say,LD,$@) $(LINK) -o $@ $^
$(B)/tests/bench/micro_ws: $(B)/tests/bench/micro_ws.o $(STATIC)
	$(call say,LD,$@) $(LINK) -o $@ $^ $(CORE_LIBS)
$(B)/tests/bench/sio_server: $(B)/tests/bench/sio_server.o $(STATIC)
	$(call say,LD,$@) $(LINK) -o $@ $^ $(CORE_LIBS) -pthread
$(B)/tests/bench/store_bench: $(B)/tests/bench/store_bench.o $(WITH_SQLITE) \
  $(STATIC)
	$(call say,LD,$@) $(LINK) -Wl,--wrap=rill_store_complete -o $@ $^ $(SQLITE_LIBS) $(CORE_LIBS) -pthread
$(B)/tests/bench/crowd: $(call objects,tests/bench/crowd*.c) $(WITH_SQLITE) \
  $(STATIC)
	$(call say,LD,$@) $(LINK) -o $@ $^ $(SQLITE_LIBS) $(CORE_LIBS) -pthread
$(B)/tests/bench/lws_peer: $(B)/tests/bench/lws_peer.o
	$(call say,LD,$@) $(LINK) -o $@ $^ -lwebsockets
bench: all $(BENCH)
	@python3 tests/bench/run.py --build $(B) $(BENCH_FLAGS)

demo: $(B)/examples/chat
	@echo "open http://127.0.0.1:8080/ in two windows; ctrl-c ends it"
	@$(B)/examples/chat --listen tcp://127.0.0.1:8080 --web examples/web/chat \
	  --db $(B)/chat.db

install: all
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/rill \
	  $(DESTDIR)$(MANDIR)/man3 $(DESTDIR)$(MANDIR)/man7
	for l in $(PCS); do \
	  install -m 644 $(B)/lib/lib$$l.a $(DESTDIR)$(LIBDIR) && \
	  install -m 755 $(B)/lib/lib$$l.so \
	    $(DESTDIR)$(LIBDIR)/lib$$l.so.$(VERSION) && \
	  ln -sf lib$$l.so.$(VERSION) $(DESTDIR)$(LIBDIR)/lib$$l.so.$(SOVERSION) && \
	  ln -sf lib$$l.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/lib$$l.so || exit 1; \
	done
	$(foreach l,$(PCS),$(call pc,$l) \
	  > $(DESTDIR)$(LIBDIR)/pkgconfig/$l.pc && ) true
	install -m 644 include/rill/*.h $(DESTDIR)$(INCLUDEDIR)/rill
	install -m 644 $(filter %.3,$(MANS)) $(DESTDIR)$(MANDIR)/man3
	install -m 644 $(filter %.7,$(MANS)) $(DESTDIR)$(MANDIR)/man7

uninstall:
	rm -rf $(DESTDIR)$(INCLUDEDIR)/rill
	rm -f $(patsubst %,$(DESTDIR)$(LIBDIR)/lib%.*,$(PCS)) \
	  $(patsubst %,$(DESTDIR)$(LIBDIR)/pkgconfig/%.pc,$(PCS)) \
	  $(patsubst man/%.3,$(DESTDIR)$(MANDIR)/man3/%.3,$(filter %.3,$(MANS))) \
	  $(patsubst man/%.7,$(DESTDIR)$(MANDIR)/man7/%.7,$(filter %.7,$(MANS)))

clean:
	rm -rf $(B)

-include $(patsubst %.o,%.d,$(shell find $(B)/lib $(B)/examples $(B)/tests \
  -name '*.o' 2>/dev/null))
.PHONY: all deps check kill9 unit replay simcheck sim purity symbols manlint \
  installcheck interop asan tsan tsan-run memcheck fuzz fuzz-run bench demo \
  install uninstall clean
.SECONDARY:
