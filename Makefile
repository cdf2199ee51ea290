# rill - embeddable real-time messaging.  GNU make.  Override in config.mak.
PREFIX     = /usr/local
LIBDIR     = $(PREFIX)/lib
INCLUDEDIR = $(PREFIX)/include
MANDIR     = $(PREFIX)/share/man
CFLAGS     = -O2 -g
B          = build
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
HARDEN = -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong \
  -fno-delete-null-pointer-checks -fno-strict-overflow -fno-common
LINK_HARDEN = -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed

# llhttp: the system's library where pkg-config knows one, else Debian's
# node-llhttp, whose C sources are compiled in strict mode.
LLHTTP_SRC = /usr/share/llhttp
LLHTTP_PC := $(shell pkg-config --exists libllhttp 2>/dev/null && echo yes)
ifeq ($(LLHTTP_PC),yes)
LLHTTP_CFLAGS := $(shell pkg-config --cflags libllhttp)
LLHTTP_LIBS := $(shell pkg-config --libs libllhttp)
LLHTTP_OBJS :=
else
LLHTTP_CFLAGS := -isystem /usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1
LLHTTP_LIBS :=
LLHTTP_OBJS := $(patsubst %,$(B)/llhttp/%.o,api http llhttp)
endif
WSLAY_LIBS = -lwslay
MBEDTLS_LIBS = -lmbedtls -lmbedx509 -lmbedcrypto
ZLIB_LIBS = -lz
CORE_LIBS = $(LLHTTP_LIBS) $(WSLAY_LIBS) $(MBEDTLS_LIBS) $(ZLIB_LIBS)

ALL_CFLAGS = -std=c11 -D_POSIX_C_SOURCE=200809L -Iinclude -Ilib -fPIC \
  -fvisibility=hidden -ffile-prefix-map=$(CURDIR)=. -MMD -MP $(WARN) \
  $(HARDEN) $(LLHTTP_CFLAGS) $(CFLAGS) $(CPPFLAGS)

CORE := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard lib/base/*.c lib/wire/*.c \
  lib/hub/*.c lib/client/*.c)))
EPOLL := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard lib/loop/*.c)))

LIBS := $(foreach l,rill rill-epoll,$(B)/lib/lib$(l).a $(B)/lib/lib$(l).so)
PCS := $(B)/lib/pkgconfig/rill.pc $(B)/lib/pkgconfig/rill-epoll.pc
EXAMPLES := $(patsubst %.c,$(B)/%,$(sort $(wildcard examples/*.c)))
UNIT := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(sort $(wildcard \
  tests/unit/test_*.c)))
FUZZ := $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(sort $(wildcard \
  tests/fuzz/fuzz_*.c)))

all: $(LIBS) $(PCS) $(EXAMPLES)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(B)/llhttp/%.o: $(LLHTTP_SRC)/%.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -w $(LLHTTP_CFLAGS) -fPIC -fvisibility=hidden $(HARDEN) $(CFLAGS) \
	  -c -o $@ $<

$(B)/lib/librill.a: $(CORE) $(LLHTTP_OBJS)
$(B)/lib/librill-epoll.a: $(EPOLL)
$(B)/lib/%.a:
	@mkdir -p $(@D)
	rm -f $@ && $(AR) rcsD $@ $^

$(B)/lib/librill.so: $(CORE) $(LLHTTP_OBJS) lib/rill.map
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-soname,librill.so.$(SOVERSION) -Wl,-z,defs $(LINK_HARDEN) \
	  -Wl,--version-script=lib/rill.map $(CFLAGS) $(LDFLAGS) -o $@ \
	  $(filter %.o,$^) $(CORE_LIBS)
	ln -sf librill.so $(B)/lib/librill.so.$(SOVERSION)

$(B)/lib/librill-epoll.so: $(EPOLL) $(B)/lib/librill.so lib/rill.map
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-soname,librill-epoll.so.$(SOVERSION) -Wl,-z,defs \
	  $(LINK_HARDEN) -Wl,--version-script=lib/rill.map $(CFLAGS) $(LDFLAGS) \
	  -o $@ $(filter %.o,$^) -L$(B)/lib -lrill -pthread
	ln -sf librill-epoll.so $(B)/lib/librill-epoll.so.$(SOVERSION)

$(B)/lib/pkgconfig/%.pc: pkgconfig/%.pc.in include/rill/base.h Makefile
	@mkdir -p $(@D)
	sed -e 's|@PREFIX@|$(PREFIX)|;s|@LIBDIR@|$(LIBDIR)|' \
	  -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|;s|@VERSION@|$(VERSION)|' \
	  -e 's|@CORE_LIBS@|$(CORE_LIBS)|' $< > $@

STATIC = $(B)/lib/librill-epoll.a $(B)/lib/librill.a

$(B)/examples/%: $(B)/examples/%.o $(STATIC)
	$(CC) $(CFLAGS) $(LDFLAGS) $(LINK_HARDEN) -o $@ $^ $(CORE_LIBS) -pthread

$(B)/tests/unit/%: $(B)/tests/unit/%.o $(STATIC)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(CORE_LIBS) -lcmocka -pthread

clean:
	rm -rf build build-*

-include $(shell find $(B) -name '*.d' 2>/dev/null)
.PHONY: all clean
.SECONDARY:
