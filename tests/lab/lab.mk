# Faults by seed on a real pair, beside the tests that `make lab` runs. Included by the top Makefile; as root.
#   make chaos ROUNDS=20 SEED=1     a failing round keeps its logs under BUILD/chaos-logs and says how to replay it
ROUNDS ?= 20
SEED   ?= 1

.PHONY: chaos
chaos: all
	BUILD=$(abspath $(BUILD)) HACTL=$(abspath $(BUILD))/hactl /usr/bin/python3 tests/lab/chaos.py $(ROUNDS) $(SEED)
