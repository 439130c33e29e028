# hactl - high-availability failover controller for a pair of servers
#
#   make            build/hactl          make test    every test       make demo   a failover, before your eyes
#   make deps       install packages     make install DESTDIR= PREFIX=/usr
#   make lint       cppcheck and clang-tidy
#   make sim        10^5 simulated lives of a pair, part of `make test`; make sim-long: 10^6, for the night (SIM_LONG_SEEDS=)
#
# Warnings are errors. BUILD= puts the output elsewhere; SAN=1 builds with AddressSanitizer and UBSan.
VERSION   := 0.1.0
BUILD     ?= build
PREFIX    ?= /usr
CC        := $(if $(filter default,$(origin CC)),gcc,$(CC))
PKGS      := mysqlclient hiredis libcurl libconfig libnl-3.0 libnl-route-3.0 libsystemd jansson libmicrohttpd libcrypto libmnl libnftnl libnftables
ROOMS     ?= hactl/base hactl/config hactl/core hactl/wire hactl/arbiter hactl/upstream hactl/guard hactl/witness hactl/supervisor hactl/control \
             hactl/cli probes vip replication

OPT       ?= -O2 -g
WARN      := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 -Wvla \
             -Wno-format-nonliteral -Wno-missing-field-initializers
ifeq ($(SAN),1)
OPT       := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
override BUILD := $(BUILD)/san
endif
CFLAGS    ?=
ALL_CFLAGS = -std=gnu11 $(OPT) $(WARN) -D_GNU_SOURCE -DHACTL_VERSION='"$(VERSION)"' -fstack-protector-strong -I. \
             $(PKG_CFLAGS) $(CFLAGS)
LDLIBS     = $(PKG_LIBS) -lm
# asked once, and only when something is compiled: `make deps` runs before pkg-config exists
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKGS)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKGS)))$(PKG_LIBS)

SRC       := $(foreach r,$(ROOMS),$(wildcard $(r)/*.c))
OBJ       := $(SRC:%.c=$(BUILD)/obj/%.o)
LIB       := $(BUILD)/libhactl.a
UNIT_SRC  ?= $(wildcard tests/unit/test_*.c)
UNIT      := $(UNIT_SRC:tests/unit/%.c=$(BUILD)/unit/%)

.PHONY: all deps demo test unit unit-build sim sim-broken lab install clean bench fuzz format lint
all: $(BUILD)/hactl

$(BUILD)/hactl: $(BUILD)/obj/hactl/main.o $(LIB)
	@echo "  LINK  $@"
	@$(CC) $(OPT) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIB): $(OBJ)
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/unit/%: tests/unit/%.c $(LIB)
	@mkdir -p $(@D)
	@echo "  TEST  $<"
	@$(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< $(LIB) $(LDLIBS) -lcmocka

# The three that a new user types install what is missing first; a plain `make` does not.
deps:
	tests/deps.sh all

demo:
	tests/deps.sh all
	$(MAKE) all
	HACTL=$(abspath $(BUILD))/hactl /usr/bin/python3 tests/lab/demo.py

test:
	tests/deps.sh all
	tests/run.sh

unit-build: $(UNIT)

unit: $(UNIT)
	@for t in $(UNIT); do $$t || exit 1; done

lab: all
	HACTL=$(abspath $(BUILD))/hactl /usr/bin/python3 -m pytest -q tests/lab

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

# Debian: cppcheck and clang-tidy. Minutes, so no part of `make test`; the checks and why some are left out: .clang-tidy
LINT_JOBS ?= $(shell nproc)
lint:
	@command -v cppcheck clang-tidy >/dev/null && [ "$$(command -v cppcheck clang-tidy | wc -l)" = 2 ] || { \
		echo "lint: install the packages cppcheck and clang-tidy" >&2; exit 1; }
	cppcheck -j$(LINT_JOBS) --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
		--error-exitcode=1 -D_GNU_SOURCE -I. hactl probes vip replication
	@printf '%s\n' $(SRC) hactl/main.c | xargs -P $(LINT_JOBS) -n 1 sh -c 'clang-tidy --quiet "$$1" -- -std=gnu11 \
		-D_GNU_SOURCE -DHACTL_VERSION=\"$(VERSION)\" -I. $(PKG_CFLAGS) 2>/dev/null' lint
	@echo "lint: nothing found"

clean:
	rm -rf build

include tests/sim/sim.mk tests/lab/lab.mk tests/fuzz/fuzz.mk tests/bench/bench.mk systemd/install.mk
-include $(OBJ:.o=.d) $(UNIT:=.d) $(BUILD)/obj/hactl/main.d
