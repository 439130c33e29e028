# Fuzz targets: libFuzzer with AddressSanitizer and UBSan, each with the sources it needs and no more. Included by the top Makefile.
#   make fuzz            every target for FUZZ_SECONDS, two at a time; ends with "N passed, N failed"
FUZZ_SECONDS ?= 60
FUZZ_BASE    := hactl/base/text.c hactl/base/types.c hactl/base/clock.c hactl/base/file.c
FUZZ_SRC_config  := $(wildcard hactl/config/*.c) $(FUZZ_BASE)
FUZZ_SRC_control := hactl/control/request.c $(FUZZ_BASE)
FUZZ_SRC_etcd    := hactl/arbiter/etcd_json.c $(FUZZ_BASE)
FUZZ_SRC_grpc    := probes/grpc_frame.c $(FUZZ_BASE)
FUZZ_SRC_nginx   := hactl/upstream/nginx.c $(FUZZ_BASE)
FUZZ_SRC_wire    := hactl/wire/wire.c $(FUZZ_BASE)
FUZZ_NAMES   := config control etcd grpc nginx wire
FUZZ         := $(FUZZ_NAMES:%=$(BUILD)/fuzz/fuzz_%)

$(BUILD)/fuzz/fuzz_%: tests/fuzz/fuzz_%.c $(FUZZ_BASE)
	@mkdir -p $(@D)
	@echo "  FUZZ  $<"
	@clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. $(PKG_CFLAGS) -o $@ $< $(FUZZ_SRC_$*) $(PKG_LIBS) -lm

fuzz: $(FUZZ)
	@tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ)
