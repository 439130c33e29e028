# Measurements, printed and never asserted. Included by the top Makefile.
#   make bench BENCH_KILLS=50    kills of the primary under eight writers on a real pair of each server (tests/lab/kills.py; as root): the pause,
#                                and how long until the pair is redundant again. 0: none
BENCH       := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/bench_*.c))
BENCH_KILLS ?= 8

$(BUILD)/bench/%: tests/bench/%.c $(LIB)
	@mkdir -p $(@D)
	@$(CC) $(ALL_CFLAGS) -o $@ $< $(LIB) $(LDLIBS) -lcmocka

bench: $(BENCH) all
	@for b in $(BENCH); do $$b || exit 1; done
	@[ $(BENCH_KILLS) = 0 ] || for d in MariaDB MySQL; do \
		BUILD=$(abspath $(BUILD)) HACTL=$(abspath $(BUILD))/hactl /usr/bin/python3 tests/lab/kills.py $(BENCH_KILLS) 1 $$d || exit 1; done
