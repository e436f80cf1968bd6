# SPDX-License-Identifier: MIT OR Apache-2.0
#
#   make              build/wick, build/libwick.a, build/libwick.so
#   make run          let the model that comes with wick write a story
#   make test         all tests; the last line says how many passed
#   make check        format, layers, sizes; warnings as errors with gcc and clang
#   make docs         docs/operations.md, from the table of operation cases
#   make bench        the benchmark programs in build/bench/
#   make install      PREFIX=/usr/local
#   make SAN=address  (or undefined, thread) the same under a sanitizer, in build/<SAN>/
#   make fuzz         fuzz targets in build/fuzz/ (needs clang)
#
# CC, CFLAGS, LDFLAGS and BUILD are yours.  What is optional is found by pkg-config
# and can be left out: make WITH_PCRE2=0 WITH_UTF8PROC=0

VERSION := 0.1.0
PREFIX  ?= /usr/local
CFLAGS  ?= -O2 -g
SAN     ?=
BUILD   ?= build$(if $(SAN),/$(SAN))
AR      ?= ar

WARN  := -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
         -Wmissing-prototypes -pedantic $(if $(WERROR),-Werror)
FLAGS := -std=c11 -D_GNU_SOURCE -DWICK_VERSION='"$(VERSION)"' -Iinclude -fPIC \
         -fvisibility=hidden -ffp-contract=fast -ffunction-sections -fdata-sections -pthread \
         -fno-asynchronous-unwind-tables $(WARN)
comma := ,
# Relocations of tables in a few hundred bytes, where the linker can.
TIGHT := -Wl,--gc-sections $(if $(findstring pack-relative-relocs,$(shell \
         $(CC) -Wl,--help 2>/dev/null)),-Wl$(comma)-z$(comma)pack-relative-relocs) \
         -Wl,-z,noseparate-code
LIBS  := -lm -lpthread
ifneq ($(SAN),)
FLAGS += -fsanitize=$(SAN) -fno-omit-frame-pointer
LIBS  += -fsanitize=$(SAN)
endif

# ---- What is optional --------------------------------------------------------

WITH_PCRE2    ?= $(shell pkg-config --exists libpcre2-8 2>/dev/null && echo 1)
WITH_UTF8PROC ?= $(shell pkg-config --exists libutf8proc 2>/dev/null && echo 1)
ifeq ($(WITH_PCRE2),1)
FLAGS += -DWICK_PCRE2 $(shell pkg-config --cflags libpcre2-8)
LIBS  += $(shell pkg-config --libs libpcre2-8)
endif
ifeq ($(WITH_UTF8PROC),1)
FLAGS += -DWICK_UTF8PROC $(shell pkg-config --cflags libutf8proc)
LIBS  += $(shell pkg-config --libs libutf8proc)
endif

# ---- What there is -----------------------------------------------------------

MACHINE := $(shell $(CC) -dumpmachine)
SRC     := $(wildcard src/*/*.c)
OBJ     := $(SRC:%.c=$(BUILD)/obj/%.o)

# The kernels of src/cpu/isa are compiled once for each instruction set.
KERNELS := $(wildcard src/cpu/isa/*.c)
FLAGS_isa := -fno-asynchronous-unwind-tables
ifneq ($(filter x86_64%,$(MACHINE)),)
ISAS         := base avx2 avx512
FLAGS_base   := -Os # for processors from before 2013
FLAGS_avx2   := -mavx2 -mfma -mf16c
FLAGS_avx512 := $(FLAGS_avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
FLAGS_bf16   := -mavx512bf16
OBJ          += $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard src/cpu/x86/*.c))
else
ISAS := base
endif
ifneq ($(and $(filter aarch64-%,$(MACHINE)),$(findstring linux,$(MACHINE))),)
WITH_ARM := -DWITH_dotprod
OBJ      += $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard src/cpu/arm/*.c))
endif
OBJ += $(foreach isa,$(ISAS),$(KERNELS:%.c=$(BUILD)/obj/%.$(isa).o))

APP      := $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard apps/wick/*.c))
EXAMPLES := $(patsubst examples/%.c,$(BUILD)/examples/%,$(wildcard examples/*.c))
BENCHES  := $(patsubst bench/%.c,$(BUILD)/bench/%,$(wildcard bench/*.c))
TESTS    := $(patsubst %.c,$(BUILD)/obj/%.o,\
            $(filter-out tests/fuzz/%,$(wildcard tests/*.c tests/*/*.c)))

.PHONY: all run test check docs bench install clean fuzz examples tests-objs
all: $(BUILD)/wick $(BUILD)/libwick.a $(BUILD)/libwick.so

# ---- Rules -------------------------------------------------------------------

# A change of flags rebuilds everything.
$(BUILD)/flags: force
	@mkdir -p $(@D)
	@echo '$(CC) $(FLAGS) $(CFLAGS)' | cmp -s - $@ || echo '$(CC) $(FLAGS) $(CFLAGS)' > $@
.PHONY: force
.PRECIOUS: $(BUILD)/obj/%.o

define isa_rule
$(BUILD)/obj/src/cpu/isa/%.$(1).o: src/cpu/isa/%.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(CC) $$(FLAGS) $$(CFLAGS) -DISA=$(1) $$(FLAGS_isa) $$(FLAGS_$(1)) -MMD -MP -c $$< -o $$@
endef
$(foreach isa,$(ISAS),$(eval $(call isa_rule,$(isa))))

$(BUILD)/obj/src/cpu/cpu.o $(BUILD)/obj/src/cpu/host.o: FLAGS += $(ISAS:%=-DWITH_%) $(WITH_ARM)
$(BUILD)/obj/src/cpu/x86/%.o: FLAGS += $(FLAGS_avx512)
$(BUILD)/obj/src/cpu/x86/%_bf16.o $(BUILD)/obj/src/cpu/x86/amx_%.o: FLAGS += $(FLAGS_bf16)
$(BUILD)/obj/src/cpu/x86/amx_blocks.o: FLAGS += -mavx512vbmi
$(BUILD)/obj/src/cpu/x86/%_vnni.o: FLAGS += -mavx512vnni
$(BUILD)/obj/src/cpu/x86/quant_grid_vnni.o: FLAGS += -mavx512vbmi
$(BUILD)/obj/src/cpu/x86/quant_avxvnni.o: ARCH := -mavxvnni -mno-avx512f
$(BUILD)/obj/tests/cpu/avxvnni.o: ARCH := $(if $(FLAGS_avx2),$(FLAGS_avx2) -mno-avx512f)
# Behind CFLAGS, of whose -march only the last one counts.
$(BUILD)/obj/src/cpu/arm/%_dotprod.o: ARCH := -march=armv8.2-a+dotprod
$(BUILD)/obj/src/cpu/arm/%_i8mm.o: ARCH := -march=armv8.2-a+i8mm
$(BUILD)/obj/tests/%.o: FLAGS += -Itests
$(BUILD)/obj/tests/cpu/amx_%.o: FLAGS += $(FLAGS_avx512) $(FLAGS_bf16)
# Where speed is not decided, small is better: portable kernels are the reference.
$(BUILD)/obj/src/ops/%.o $(BUILD)/obj/src/models/%.o $(BUILD)/obj/src/nn/%.o: SMALL := -Os
$(BUILD)/obj/src/io/%.o $(BUILD)/obj/src/core/%.o $(BUILD)/obj/apps/%.o: SMALL := -Os
# Blocks of quantized numbers are the same bits on every machine.
$(BUILD)/obj/src/core/quant_%.o: FLAGS += -ffp-contract=off
# These have no other kernels.
LOOPS := batch_norm ctc dropout fft matrix order orthogonal pool scan
$(LOOPS:%=$(BUILD)/obj/src/ops/%.o): SMALL := -O3
COLD := base/error base/file base/json_write base/special base/talk cpu/x86/amx_pack \
        text/decoders text/model text/normalizers text/post text/regex text/regex_translate \
        text/steps text/train_bpe text/tokenizer text/vocab text/template text/template_parse \
        text/template_value text/template_builtins text/template_strings text/template_scan
$(COLD:%=$(BUILD)/obj/src/%.o): SMALL := -Os

$(BUILD)/obj/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(CC) $(FLAGS) $(CFLAGS) $(SMALL) $(ARCH) -MMD -MP -c $< -o $@

$(BUILD)/libwick.a: $(OBJ)
	@rm -f $@
	$(AR) rcs $@ $(OBJ)

$(BUILD)/libwick.so: $(OBJ)
	$(CC) -shared -Wl,-soname,libwick.so.$(VERSION) -Wl,--gc-sections $(LDFLAGS) $(OBJ) $(LIBS) -o $@

$(BUILD)/wick: $(APP) $(BUILD)/libwick.a
	$(CC) $(TIGHT) $(LDFLAGS) $(APP) $(BUILD)/libwick.a $(LIBS) -o $@

$(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(BUILD)/libwick.a
	@mkdir -p $(@D)
	$(CC) $(TIGHT) $(LDFLAGS) $< $(BUILD)/libwick.a $(LIBS) -o $@

$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(BUILD)/libwick.a
	@mkdir -p $(@D)
	$(CC) $(TIGHT) $(LDFLAGS) $< $(BUILD)/libwick.a $(LIBS) -o $@

$(BUILD)/tests: $(TESTS) $(BUILD)/libwick.a
	$(CC) $(LDFLAGS) $(TESTS) $(BUILD)/libwick.a $(LIBS) -o $@

tests-objs: $(TESTS)
examples: $(EXAMPLES)
bench: $(BENCHES)

run: $(BUILD)/wick
	$(BUILD)/wick run "One day," --echo -n 200

test: all examples $(BUILD)/tests
	tests/run $(BUILD)

docs: $(BUILD)/tests
	WICK_WRITE_DOCS=1 $(BUILD)/tests operations_md

check:
	tools/check-layers
	tools/check-size
	git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror
	$(MAKE) BUILD=$(BUILD)/gcc CC=gcc WERROR=1 all examples bench
	$(MAKE) BUILD=$(BUILD)/clang CC=clang WERROR=1 all examples bench

# ---- Fuzzing: make fuzz, then build/fuzz/safetensors -max_total_time=600 -------

FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
FUZZ    := $(BUILD)/fuzz

fuzz:
	$(MAKE) BUILD=$(FUZZ)/lib CC=clang SAN=address,undefined \
		CFLAGS='-O1 -g -fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined' \
		$(FUZZ)/lib/libwick.a
	for f in $(FUZZERS); do \
		clang -std=c11 -D_GNU_SOURCE -Iinclude -Isrc -g -O1 -fsanitize=fuzzer,address,undefined \
			tests/fuzz/$$f.c $(FUZZ)/lib/libwick.a $(LIBS) -o $(FUZZ)/$$f || exit 1; \
	done

# ---- Installing ----------------------------------------------------------------

DEST := $(DESTDIR)$(PREFIX)

install: all
	install -d $(DEST)/bin $(DEST)/include/wick $(DEST)/lib/pkgconfig $(DEST)/lib/cmake/wick \
		$(DEST)/share/man/man1 $(DEST)/share/wick/demo
	install $(BUILD)/wick $(DEST)/bin
	install -m 644 include/wick/* $(DEST)/include/wick
	install -m 644 apps/demo/* $(DEST)/share/wick/demo
	install -m 644 $(BUILD)/libwick.a $(DEST)/lib
	install $(BUILD)/libwick.so $(DEST)/lib/libwick.so.$(VERSION)
	ln -sf libwick.so.$(VERSION) $(DEST)/lib/libwick.so
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|; s|@LIBS@|$(LIBS)|' tools/wick.pc.in \
		> $(DEST)/lib/pkgconfig/wick.pc
	sed 's|@LIBS@|$(patsubst -l%,%,$(filter -l%,$(LIBS)))|' tools/wick-config.cmake.in \
		> $(DEST)/lib/cmake/wick/wick-config.cmake
	$(BUILD)/wick help man > $(DEST)/share/man/man1/wick.1

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
