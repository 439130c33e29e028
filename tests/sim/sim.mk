# Simulation of the core: both real cores in one process, faults by seed. Included by the top Makefile.
#   make sim          SIM_SEEDS seeds (10^5) on two workers; fails when a cell of the role table that can happen never did
#   make sim-long     SIM_LONG_SEEDS (10^6) other ones: for the night
#   make sim-broken   each safety rule taken away in turn; every one must be caught
SIM_SEEDS ?= 100000
SIM_LONG_SEEDS ?= 1000000
SIM_SRC   := $(wildcard tests/sim/*.c) $(wildcard hactl/core/*.c) hactl/base/types.c
SIM_HDR   := $(wildcard tests/sim/*.h) $(wildcard hactl/core/*.h) hactl/base/types.h
SIM_OPT   := $(if $(filter 1,$(SAN)),$(OPT),-O2 -g)
SIM_BUILD  = $(CC) -std=gnu11 $(SIM_OPT) $(WARN) -D_GNU_SOURCE -I. $(CFLAGS)

.PHONY: sim sim-long sim-broken
sim: $(BUILD)/sim/hactl-sim
	$< $(SIM_SEEDS)

sim-long: $(BUILD)/sim/hactl-sim
	$< $(SIM_LONG_SEEDS) $(shell expr $(SIM_SEEDS) + 1)

sim-broken: $(BUILD)/sim/hactl-sim-broken
	$< --break all

$(BUILD)/sim/hactl-sim: $(SIM_SRC) $(SIM_HDR)
	@mkdir -p $(@D)
	$(SIM_BUILD) -o $@ $(SIM_SRC) -lm

$(BUILD)/sim/hactl-sim-broken: $(SIM_SRC) $(SIM_HDR)
	@mkdir -p $(@D)
	$(SIM_BUILD) -DCORE_BROKEN -o $@ $(SIM_SRC) -lm
