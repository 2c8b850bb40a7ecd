# loopline. `make` builds into build/; `make help` lists the rest.
#
# Non-recursive: every room (folder) is a static archive, every program links the archives that
# the architecture allows it (common <- alsa <- bridge, discord). Sources are found by wildcard:
# a new .c file in a room needs no line here. Variants live beside each other:
#   make BUILD=build/asan SAN=address,undefined        make BUILD=build/clang CC=clang

BUILD   ?= build
PREFIX  ?= /usr
DESTDIR ?=
CC      ?= cc
VERSION := 0.1.0

# pkg-config is asked lazily: `make deps` must work where it is not installed yet.
PKGS     = alsa libwebsockets opus libsodium libcjson libcurl libcrypto
PKG_CONFIG ?= pkg-config
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell $(PKG_CONFIG) --cflags $(PKGS)))$(PKG_CFLAGS)
pkg_libs   = $(shell $(PKG_CONFIG) --libs $(1))

WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
           -Wpointer-arith -Wwrite-strings -Wvla -Wformat=2 -Wundef -Wimplicit-fallthrough \
           -Wcast-align -Wno-unused-parameter
ifdef WERROR
WARN    += -Werror
endif
OPT     ?= -O2
HARDEN  := -fstack-protector-strong -fPIE
LDHARDEN := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
ifdef SAN
OPT     := -O1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=undefined
LDHARDEN += -fsanitize=$(SAN)
else
HARDEN  += -D_FORTIFY_SOURCE=2
endif
ifdef COVERAGE
OPT     := -O0 --coverage -Wno-maybe-uninitialized
LDHARDEN += --coverage
endif
# lrintf() as one instruction: nobody here looks at errno after mathematics
OPT     += -fno-math-errno
CFLAGS  ?= -g
ALL_CFLAGS = -std=gnu11 $(OPT) $(CFLAGS) $(WARN) $(HARDEN) -pthread -I. -D_GNU_SOURCE \
           -DLOOPLINE_VERSION='"$(VERSION)"' $(PKG_CFLAGS)
ALL_LDFLAGS = $(LDHARDEN) $(LDFLAGS) -pthread

.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:

# ---- rooms -------------------------------------------------------------------------------
srcs = $(sort $(filter-out $(2),$(wildcard $(1)/*.c)))
objs = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

COMMON_SRC  := $(call srcs,common)
ALSA_SRC    := $(call srcs,alsa) $(call srcs,alsa/cable,alsa/cable/pcm_cable.c)
BRIDGE_SRC  := $(call srcs,bridge,bridge/main.c)
DISCORD_SRC := $(call srcs,discord,discord/main.c)
DAVE_SRC    := $(call srcs,discord/dave)
MLS_SRC     := $(call srcs,discord/mls)
SIM_SRC     := $(filter-out %_main.c,$(call srcs,tests/sim))
HARNESS_SRC := $(filter-out %_main.c,$(call srcs,tests/e2e))

LIB_COMMON  := $(BUILD)/libcommon.a
LIB_ALSA    := $(BUILD)/libalsaport.a
LIB_BRIDGE  := $(BUILD)/libbridge.a
LIB_DISCORD := $(BUILD)/libdiscord.a
LIB_DAVE    := $(BUILD)/libdave.a
LIB_MLS     := $(BUILD)/libmls.a
LIB_SIM     := $(BUILD)/libsim.a
LIB_HARNESS := $(BUILD)/libharness.a

$(LIB_COMMON):  $(call objs,$(COMMON_SRC))
$(LIB_ALSA):    $(call objs,$(ALSA_SRC))
$(LIB_BRIDGE):  $(call objs,$(BRIDGE_SRC))
$(LIB_DISCORD): $(call objs,$(DISCORD_SRC))
$(LIB_DAVE):    $(call objs,$(DAVE_SRC))
$(LIB_MLS):     $(call objs,$(MLS_SRC))
$(LIB_SIM):     $(call objs,$(SIM_SRC))
$(LIB_HARNESS): $(call objs,$(HARNESS_SRC))

$(BUILD)/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	@echo "  AR      $@"
	@$(AR) rcs $@ $^

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(ALL_CFLAGS) $(CFLAGS_$(<F)) -MMD -MP -c $< -o $@

# ---- programs ----------------------------------------------------------------------------
PLUGIN   := $(BUILD)/libasound_module_pcm_cable.so
PROGRAMS := $(if $(wildcard bridge/main.c),$(BUILD)/loopline-bridge) \
            $(if $(wildcard discord/main.c),$(BUILD)/loopline-discord)

link = @echo "  LINK    $@"; mkdir -p $(@D); $(CC) $(ALL_LDFLAGS) $(filter %.o,$^) \
       -Wl,--start-group $(filter %.a,$^) -Wl,--end-group $(1) -lm -o $@

$(BUILD)/loopline-bridge: $(call objs,bridge/main.c) $(LIB_BRIDGE) $(LIB_ALSA) $(LIB_COMMON)
	$(call link,$(call pkg_libs,alsa libwebsockets libcjson libcurl libcrypto))

$(BUILD)/loopline-discord: $(call objs,discord/main.c) $(LIB_DISCORD) $(LIB_DAVE) $(LIB_MLS) \
                           $(LIB_ALSA) $(LIB_COMMON)
	$(call link,$(call pkg_libs,$(PKGS)))

# ALSA's plug-in macro builds the static-link registration unless PIC is defined (libtool does it
# silently); without it dlopen fails with "undefined symbol: snd_dlsym_start".
PLUGIN_SRC := $(call srcs,alsa/cable)
PLUGIN_OBJ := $(patsubst %.c,$(BUILD)/pic/%.o,$(PLUGIN_SRC))
$(BUILD)/pic/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC[PIC] $<"
	@$(CC) $(ALL_CFLAGS) -fPIC -DPIC -fvisibility=hidden -MMD -MP -c $< -o $@
$(PLUGIN): $(PLUGIN_OBJ)
	@echo "  LINK    $@"
	@$(CC) $(filter-out -pie,$(ALL_LDFLAGS)) -shared -fPIC $^ $(call pkg_libs,alsa) -lm -o $@

.PHONY: all
all: $(PROGRAMS) $(if $(PLUGIN_SRC),$(PLUGIN))

# ---- tests -------------------------------------------------------------------------------
# tests/unit/test_*.c, tests/vectors/*.c: one program each, may link every room.
# tests/sim/*_main.c and tests/e2e/*_main.c: programs over libsim / libharness and common only.
ALL_LIBS  := $(LIB_BRIDGE) $(LIB_DISCORD) $(LIB_DAVE) $(LIB_MLS) $(LIB_ALSA) $(LIB_COMMON)
UNIT_SRC  := $(sort $(wildcard tests/unit/test_*.c))
UNIT_HELP := $(filter-out $(UNIT_SRC),$(sort $(wildcard tests/unit/*.c)))
UNIT_BIN  := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT_SRC))
VECT_BIN  := $(patsubst tests/vectors/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/vectors/*.c)))
SIM_BIN   := $(patsubst tests/sim/%_main.c,$(BUILD)/tests/%,$(sort $(wildcard tests/sim/*_main.c)))
E2E_BIN   := $(patsubst tests/e2e/%_main.c,$(BUILD)/tests/%,$(sort $(wildcard tests/e2e/*_main.c)))
SANDBOX := $(addprefix $(BUILD)/tests/,sim_twilio sim_discord dave_member)
BENCH_BIN := $(patsubst tests/bench/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/bench/*.c)))

ALL_PKG_LIBS = $(call pkg_libs,$(PKGS) speexdsp openssl)
$(BUILD)/tests/%: $(BUILD)/obj/tests/unit/%.o $(call objs,$(UNIT_HELP)) $(ALL_LIBS) $(LIB_HARNESS) $(LIB_SIM)
	$(call link,$(ALL_PKG_LIBS))
# the MLS library stands on its own: this test is linked with it and libcrypto alone
$(BUILD)/tests/test_mls_alone: $(BUILD)/obj/tests/unit/test_mls_alone.o $(LIB_MLS)
	$(call link,$(call pkg_libs,libcrypto))
$(BUILD)/tests/%: $(BUILD)/obj/tests/vectors/%.o $(ALL_LIBS)
	$(call link,$(ALL_PKG_LIBS))
$(BUILD)/tests/%: $(BUILD)/obj/tests/bench/%.o $(ALL_LIBS) $(LIB_HARNESS) $(LIB_SIM)
	$(call link,$(ALL_PKG_LIBS))
$(BUILD)/tests/%: $(BUILD)/obj/tests/sim/%_main.o $(LIB_SIM) $(LIB_COMMON)
	$(call link,$(ALL_PKG_LIBS))
$(BUILD)/tests/%: $(BUILD)/obj/tests/e2e/%_main.o $(LIB_HARNESS) $(LIB_SIM) $(LIB_COMMON)
	$(call link,$(ALL_PKG_LIBS))

# loaded before the services by tests that set their clock
CLOCK_STEP := $(BUILD)/tests/clock_step.so
$(CLOCK_STEP): $(BUILD)/pic/tests/preload/clock_step.o
	@echo "  LINK    $@"; mkdir -p $(@D)
	@$(CC) $(filter-out -pie,$(ALL_LDFLAGS)) -shared -fPIC $^ -ldl -o $@

# keeps the encryption of the sandbox's members, in a process of its own (tests/sim/dave_member.h)
$(BUILD)/tests/dave_member: $(BUILD)/obj/tests/e2e/dave_member_main.o $(LIB_DAVE) $(LIB_MLS) $(LIB_COMMON)
	$(call link,$(call pkg_libs,libsodium libcrypto))

.PHONY: tests unit
tests: all $(UNIT_BIN) $(VECT_BIN) $(SIM_BIN) $(E2E_BIN) $(CLOCK_STEP)
unit: all $(UNIT_BIN) $(VECT_BIN)
	@BUILD=$(BUILD) tests/run.sh $(UNIT_BIN)

# End to end: simulators, both processes and the cable together (tests/e2e/e2e_*_main.c).
E2E_TESTS := $(filter $(BUILD)/tests/e2e_%,$(E2E_BIN))
.PHONY: e2e test demo
e2e: all $(SIM_BIN) $(E2E_BIN) $(CLOCK_STEP)
	@BUILD=$(BUILD) tests/run.sh $(E2E_TESTS)

# Everything. Each part adds its three numbers to a file; the last line is their sum.
test:
	@$(MAKE) -s deps
	@$(MAKE) -s -j$$(nproc) tests
	@rm -f $(BUILD)/tests/sums
	@BUILD=$(BUILD) tests/run.sh --append $(BUILD)/tests/sums $(UNIT_BIN) $(E2E_TESTS); \
	[ ! -x tests/interop/run.sh ] || BUILD=$(BUILD) tests/interop/run.sh --append $(BUILD)/tests/sums; \
	awk '{ p += $$1; f += $$2; s += $$3 } \
	  END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 }' $(BUILD)/tests/sums

# A call in the sandbox, with figures. CALLER=a.wav CHANNEL=b.wav LIVE=1
demo:
	@$(MAKE) -s deps
	@$(MAKE) -s -j$$(nproc) all $(SANDBOX) $(BUILD)/tests/demo
	@BUILD=$(BUILD) CALLER="$(CALLER)" CHANNEL="$(CHANNEL)" LIVE="$(LIVE)" \
	  $(BUILD)/tests/demo $(BUILD)/demo

# Figures, not verdicts on the code: see tests/bench/README.md. BENCH=drift,cost runs parts of it.
.PHONY: bench
bench: all $(SANDBOX) $(BENCH_BIN)
	@BUILD=$(BUILD) tests/bench/run.sh

# ---- checks of another kind ---------------------------------------------------------------
# Threads and processes that share memory, under ThreadSanitizer: call with SAN=thread.
TSAN_TESTS := $(filter $(addprefix $(BUILD)/tests/test_,small log loop http_client ws_client api cable \
                pcm_cable port metrics dave_media media verifier),$(UNIT_BIN))
.PHONY: tsan valgrind fuzz
tsan: all $(TSAN_TESTS)
	@BUILD=$(BUILD) tests/run.sh $(TSAN_TESTS)

# Every unit test but those that only take long there and touch no memory of ours in a new way.
VALGRIND_SKIP := %/test_mls_vectors %/test_pcm_cable %/test_resampler %/test_resampler_plain
valgrind: all $(UNIT_BIN)
	@BUILD=$(BUILD) TEST_TIMEOUT=600 WRAP="valgrind -q --error-exitcode=99 --leak-check=full \
	  --errors-for-leak-kinds=definite --child-silent-after-fork=yes" \
	  tests/run.sh $(filter-out $(VALGRIND_SKIP),$(UNIT_BIN))

# How much of the two encryption libraries their own unit tests reach, line by line.
COVERAGE_SRC := $(wildcard tests/unit/test_mls_*.c tests/unit/test_dave_*.c)
COVERAGE_BIN := $(patsubst tests/unit/%.c,build/coverage/tests/%,$(COVERAGE_SRC))
.PHONY: coverage
coverage:
	@$(MAKE) -s BUILD=build/coverage COVERAGE=1 $(COVERAGE_BIN)
	@BUILD=build/coverage tests/coverage.sh "discord/mls discord/dave" $(COVERAGE_BIN)

# libFuzzer targets, tests/fuzz/fuzz_*.c, FUZZ_SECONDS each, from the corpus committed beside them.
FUZZ_SECONDS ?= 30
# FUZZ="json url" takes only those.
FUZZ      ?=
FUZZ_DIR  ?= build/fuzz
FUZZ_SAN  ?= fuzzer-no-link,address,undefined
FUZZ_PLUS ?=
FUZZ_SRC  := $(if $(FUZZ),$(patsubst %,tests/fuzz/fuzz_%.c,$(FUZZ)),$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_BIN  := $(patsubst tests/fuzz/%.c,$(FUZZ_DIR)/bin/%,$(FUZZ_SRC))
FUZZ_LIBS := $(patsubst $(BUILD)/%,$(FUZZ_DIR)/%,$(ALL_LIBS))
fuzz-build:
	@$(MAKE) -s BUILD=$(FUZZ_DIR) CC=clang SAN=$(FUZZ_SAN) \
	  CFLAGS="-g -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION $(FUZZ_PLUS)" $(FUZZ_LIBS) $(FUZZ_BIN)
fuzz: fuzz-build
	@tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ_BIN)
# How much of the parsers the targets reach, from their corpora.
fuzz-coverage:
	@$(MAKE) -s fuzz-build FUZZ_DIR=build/fuzz-coverage FUZZ_SAN=fuzzer-no-link \
	  FUZZ_PLUS="-fprofile-instr-generate -fcoverage-mapping"
	@tests/fuzz/coverage.sh build/fuzz-coverage/bin
$(FUZZ_DIR)/bin/%: tests/fuzz/%.c $(FUZZ_LIBS)
	@mkdir -p $(@D)
	@echo "  FUZZ    $@"
	@clang $(subst fuzzer-no-link,fuzzer,$(ALL_CFLAGS)) -MMD -MF $(BUILD)/obj/$(notdir $@).d $< \
	  -Wl,--start-group $(FUZZ_LIBS) -Wl,--end-group $(ALL_PKG_LIBS) -lm -o $@

# lint is quick and says whether the architecture holds; static is what CI runs.
ALL_C := $(wildcard common/*.c alsa/*.c alsa/cable/*.c bridge/*.c discord/*.c discord/*/*.c)
.PHONY: lint static fuzz-build fuzz-coverage
lint:
	@tests/lint/architecture.sh
	@tests/lint/fault_table.sh
static: lint
	@tests/lint/static.sh "$(filter-out -DLOOPLINE_VERSION=%,$(ALL_CFLAGS))" $(ALL_C)

.PHONY: deps
deps:
	@tests/lint/deps.sh

# ---- virtual machine ---------------------------------------------------------------------
# Debian's kernel with the real snd-aloop and systemd, in software emulation (tests/vm).
.PHONY: test-vm
test-vm: tests $(BENCH_BIN)
	@BUILD=$(BUILD) tests/vm/run.sh

# ---- installing --------------------------------------------------------------------------
# Where Debian expects things. udev, ALSA and modprobe read only /usr and /etc: what is for them goes
# there whatever PREFIX is.
ALSA_LIBDIR = $(shell $(PKG_CONFIG) --variable=libdir alsa)/alsa-lib
UNITDIR  := $(PREFIX)/lib/systemd/system
DOCDIR   := $(PREFIX)/share/doc/loopline
put       = install -D -m 644 $(1) $(DESTDIR)$(2)
.PHONY: install
install: all
	$(if $(strip $(PROGRAMS)),install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(PROGRAMS))
	install -D -m 644 -t $(DESTDIR)$(ALSA_LIBDIR) $(PLUGIN)
	$(call put,alsa/cable/cable.conf,/usr/share/alsa/alsa.conf.d/60-loopline.conf)
	install -d $(DESTDIR)/etc/alsa/conf.d
	ln -sf /usr/share/alsa/alsa.conf.d/60-loopline.conf $(DESTDIR)/etc/alsa/conf.d/60-loopline.conf
	install -d $(DESTDIR)$(UNITDIR)
	for unit in bridge/loopline-bridge.service bridge/loopline-bridge.socket \
	            discord/loopline-discord.service; do \
	  sed 's,/usr/\(bin\|lib\)/loopline,$(PREFIX)/\1/loopline,' $$unit >$(DESTDIR)$(UNITDIR)/$${unit##*/} && \
	  chmod 644 $(DESTDIR)$(UNITDIR)/$${unit##*/} || exit 1; done
	$(call put,common/sysusers.conf,$(PREFIX)/lib/sysusers.d/loopline.conf)
	$(call put,common/tmpfiles.conf,$(PREFIX)/lib/tmpfiles.d/loopline.conf)
	install -D -m 755 alsa/ipc-leftovers.sh $(DESTDIR)$(PREFIX)/lib/loopline/ipc-leftovers
	$(call put,alsa/modules-load.conf,$(PREFIX)/lib/modules-load.d/loopline.conf)
	$(call put,alsa/modprobe.conf,/usr/lib/modprobe.d/loopline.conf)
	$(call put,alsa/70-loopline.rules,/usr/lib/udev/rules.d/70-loopline.rules)
	install -d -m 755 $(DESTDIR)/etc/loopline
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man8 bridge/*.8 discord/*.8
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man5 common/*.5 alsa/cable/*.5
	install -D -m 644 -t $(DESTDIR)$(DOCDIR) README.md LICENSE
	install -D -m 644 -t $(DESTDIR)$(DOCDIR)/examples asound.conf.example common/loopline.conf.example \
	  common/cable-only.conf
	@[ -n "$(DESTDIR)" ] || echo "now: systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload"

.PHONY: clean help
clean:
	rm -rf build
help:
	@echo "make            build both programs and the ALSA plugin into build/"
	@echo "make deps       install what building and testing needs (Debian; root or sudo)"
	@echo "make demo       a simulated call, end to end, with figures (LIVE=1 stays up)"
	@echo "make test       every test; last line: N passed, N failed, N skipped"
	@echo "make unit       unit tests only"
	@echo "make bench      delay, drift, quality, cost: a table with goals; build/bench/report.json"
	@echo "make lint       the architecture law; make static: with clang-tidy and cppcheck"
	@echo "make valgrind   unit tests under valgrind; make fuzz: the libFuzzer targets"
	@echo "make coverage   lines of the encryption libraries that their unit tests reach"
	@echo "make test-vm    on the real kernel card under systemd, in a virtual machine (QEMU)"
	@echo "make install    DESTDIR= PREFIX=/usr"
	@echo "make clean"

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
