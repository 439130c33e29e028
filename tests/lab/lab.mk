# Faults by seed on a real pair, beside the tests that `make lab` runs. Included by the top Makefile; as root.
#   make chaos ROUNDS=20 SEED=1 DATABASE=MariaDB    (or MySQL) a failing round keeps its logs under BUILD/chaos-logs and says how to
#                                                   replay it; the closing lines are the distribution of the write gap by kind of fault
ROUNDS   ?= 20
SEED     ?= 1
DATABASE ?= MariaDB

# `make kills ROUNDS=50 SEED=1 DATABASE=MySQL`: nothing but kills of the primary, under eight writers; how long each pause was and how
# long until the pair was redundant again, without a person
.PHONY: kills
kills: all
	BUILD=$(abspath $(BUILD)) HACTL=$(abspath $(BUILD))/hactl /usr/bin/python3 tests/lab/kills.py $(ROUNDS) $(SEED) $(DATABASE)

.PHONY: chaos
chaos: all
	BUILD=$(abspath $(BUILD)) HACTL=$(abspath $(BUILD))/hactl /usr/bin/python3 tests/lab/chaos.py $(ROUNDS) $(SEED) $(DATABASE)

#   make switchovers ROUNDS=50 DATABASE=MySQL       planned changes to and fro under load; the clients' own time-out is CLIENT_TIMEOUT
CLIENT_TIMEOUT ?= 5
.PHONY: switchovers
switchovers: all
	BUILD=$(abspath $(BUILD)) HACTL=$(abspath $(BUILD))/hactl /usr/bin/python3 tests/lab/switchovers.py $(ROUNDS) $(DATABASE) $(CLIENT_TIMEOUT) 4

# the suites that speak to MariaDB, with the one of Debian 13 instead of this machine's
MARIADB_NEXT = planned or takeover or rejoin or gates or required or kills
.PHONY: mariadb-next
mariadb-next: all unit-build
	own=$$(tests/mysql-root.sh $(abspath $(BUILD))/mariadb-root mariadb)/as-own && \
	for t in replication_mysql rejoin sqlproc; do $$own $(BUILD)/unit/test_$$t || exit 1; done && \
	BUILD=$(abspath $(BUILD)) HACTL=$(abspath $(BUILD))/hactl $$own /usr/bin/python3 -m pytest -q -p no:cacheprovider -n 2 tests/lab \
		-k "($(MARIADB_NEXT)) and not MySQL"

# what is shortened in `make lab`, at its full length
.PHONY: lab-long
lab-long: all
	LAB_LONG=1 BUILD=$(abspath $(BUILD)) HACTL=$(abspath $(BUILD))/hactl /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/lab -k "packets_lost or long_backlog"

# hactl as its next minor version would speak to this one (see hactl/wire/wire.h): for the test of a rolling upgrade.
NEXT_WIRE := $(patsubst hactl/wire/%.c,$(BUILD)/next/%.o,$(wildcard hactl/wire/*.c))
$(BUILD)/hactl-next: $(BUILD)/obj/hactl/main.o $(NEXT_WIRE) $(LIB)
	@echo "  LINK  $@"
	@$(CC) $(OPT) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BUILD)/next/%.o: hactl/wire/%.c
	@mkdir -p $(@D)
	@echo "  CC    $< (next)"
	@$(CC) $(ALL_CFLAGS) -DWIRE_NEXT -MMD -MP -c -o $@ $<
-include $(NEXT_WIRE:.o=.d)

# the checker itself: a hactl without one of its safety rules must be caught
.PHONY: chaos-broken
chaos-broken:
	$(MAKE) --no-print-directory BUILD=$(BUILD)/broken CFLAGS="$(CFLAGS) -DCORE_BROKEN" $(BUILD)/broken/obj/tests/lab/broken.o
	$(MAKE) --no-print-directory BUILD=$(BUILD)/broken CFLAGS="$(CFLAGS) -DCORE_BROKEN" LDFLAGS="$(LDFLAGS) $(BUILD)/broken/obj/tests/lab/broken.o" all
	BUILD=$(abspath $(BUILD)) HACTL=$(abspath $(BUILD))/broken/hactl /usr/bin/python3 tests/lab/chaos.py --broken half_promise
