# Faults by seed on a real pair, beside the tests that `make lab` runs. Included by the top Makefile; as root.
#   make chaos ROUNDS=20 SEED=1 DATABASE=MariaDB    (or MySQL) a failing round keeps its logs under BUILD/chaos-logs and says how to
#                                                   replay it; the closing lines are the distribution of the write gap by kind of fault
ROUNDS   ?= 20
SEED     ?= 1
DATABASE ?= MariaDB

.PHONY: chaos
chaos: all
	BUILD=$(abspath $(BUILD)) HACTL=$(abspath $(BUILD))/hactl /usr/bin/python3 tests/lab/chaos.py $(ROUNDS) $(SEED) $(DATABASE)

# what is shortened in `make lab`, at its full length
.PHONY: lab-long
lab-long: all
	LAB_LONG=1 BUILD=$(abspath $(BUILD)) HACTL=$(abspath $(BUILD))/hactl /usr/bin/python3 -m pytest -q -p no:cacheprovider tests/lab -k packets_lost

# the checker itself: a hactl without one of its safety rules must be caught
.PHONY: chaos-broken
chaos-broken:
	$(MAKE) --no-print-directory BUILD=$(BUILD)/broken CFLAGS="$(CFLAGS) -DCORE_BROKEN" $(BUILD)/broken/obj/tests/lab/broken.o
	$(MAKE) --no-print-directory BUILD=$(BUILD)/broken CFLAGS="$(CFLAGS) -DCORE_BROKEN" LDFLAGS="$(LDFLAGS) $(BUILD)/broken/obj/tests/lab/broken.o" all
	BUILD=$(abspath $(BUILD)) HACTL=$(abspath $(BUILD))/broken/hactl /usr/bin/python3 tests/lab/chaos.py --broken half_promise
