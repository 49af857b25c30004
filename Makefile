# SPDX-License-Identifier: MIT
#
# make            build everything into build/
# make install    install the library, its headers and the observer below DESTDIR and PREFIX
# make demo       install what is missing, build, show leaks live (root)
# make check      install what is missing, build with gcc and clang, run every test (root)
# make corpus     run the leak corpus 20 times; CORPUS='-r 2 etcd': twice, only cases of that name
# make bench      install peers if it can, measure beside them; BENCH='switch spawn': only those
# make deb        build Debian packages in build/packages
# make abi        record the binary interface of the library in tests/abi
# make V=1        show the commands
#
# Variables: CC, BUILD (output folder), SANITIZE (e.g. address,undefined), PREFIX, LIBDIR, DESTDIR,
# EXTRA_LDFLAGS.

VERSION := 0.1.0
SOVERSION := 0

CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config
CLANG_FORMAT ?= clang-format
BUILD ?= build
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
BINDIR ?= $(PREFIX)/bin
INCLUDEDIR ?= $(PREFIX)/include
SANITIZE ?=
OBSERVER ?= 1# 0: link unit tests without the observer, for machines without its libraries
PROBES ?= 1# 0: the guards of the probes are compiled out, to measure what they cost

ifeq ($(origin CC),default)
CC := gcc
endif

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' $(1) $(patsubst $(BUILD)/%,%,$@);)

OBJCOPY ?= $(shell $(CC) -print-prog-name=objcopy)
# Empty where there is no compiler yet: `make check` and `make demo` install it.
ARCH := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine 2>/dev/null)))

CPPFLAGS := -Iinclude -Iuser -I$(BUILD)/gen -D_GNU_SOURCE
CFLAGS := -std=gnu11 -O2 -g -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes \
	-fno-omit-frame-pointer -fvisibility=hidden -fstack-protector-strong \
	-ffile-prefix-map=$(CURDIR)/=
LDFLAGS := $(EXTRA_LDFLAGS)
ifeq ($(PROBES),0)
CPPFLAGS += -DSTRAND_NO_PROBES
endif
ifneq ($(SANITIZE),)
CFLAGS += -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
LDFLAGS += -fsanitize=$(SANITIZE)
# gcc's TSan knows no fences, and says so. The one that there is keeps loads in order that a
# change of generation makes void; no test that TSan runs depends on it.
CFLAGS += $(if $(findstring thread,$(SANITIZE)),-Wno-error=tsan)
endif
# The runtime looks at frames of its callers and switches stacks: no canaries there, and no
# endbr64 in front of the instructions that are probed.
# Nor pairs of words as one vector: read back as a pair, two words that were just written apart
# stall the store forwarding, once a park; and a vector register keeps what it held.
STRAND_CFLAGS := -fPIC -fno-stack-protector -fno-tree-slp-vectorize $(if $(filter x86_64,$(ARCH)),-fcf-protection=none)

# ---- libstrand ---------------------------------------------------------------
# A file NAME_ARCH.S stands for one architecture; all .c files are for all.
strand_src := $(sort $(wildcard user/strand/*.c user/leakgc/*.c))
strand_asm := $(sort $(wildcard user/strand/*_$(ARCH).S))
strand_obj := $(strand_src:%.c=$(BUILD)/%.o) $(strand_asm:%.S=$(BUILD)/%.o)
strand_so := $(BUILD)/libstrand.so.$(SOVERSION)
strand_a := $(BUILD)/libstrand.a
strand_all_a := $(BUILD)/libstrand-all.a# hidden symbols too, for the tests

# ---- stranded ----------------------------------------------------------------
stranded_src := $(sort $(wildcard user/observe/*.c user/symbol/*.c user/model/*.c user/view/*.c \
	user/serve/*.c user/cmd/*.c))
stranded_obj := $(stranded_src:%.c=$(BUILD)/%.o)
stranded_a := $(BUILD)/libstranded.a# all but main, for the tests
bpf_src := $(sort $(wildcard bpf/*.bpf.c))
skeletons := $(bpf_src:bpf/%.bpf.c=$(BUILD)/gen/%.skel.h)
stranded_libs := -lbpf -ldw -lelf -lz -lmicrohttpd -lncursesw -ltinfo -lpthread

# ---- tests -------------------------------------------------------------------
unit_src := $(sort $(wildcard tests/unit/test_*.c))
unit_bin := $(unit_src:tests/unit/%.c=$(BUILD)/tests/unit/%)
example_src := $(sort $(wildcard tests/examples/*.c))
example_bin := $(example_src:tests/examples/%.c=$(BUILD)/examples/%)
target_src := $(sort $(wildcard tests/e2e/*.c))
target_bin := $(target_src:tests/e2e/%.c=$(BUILD)/tests/e2e/%)
bench_src := $(sort $(wildcard tests/bench/*.c))
bench_bin := $(bench_src:tests/bench/%.c=$(BUILD)/bench/%)
corpus_src := $(sort $(wildcard tests/leaks/*.c))
peer_bin := $(patsubst tests/bench/peers/%,$(BUILD)/bench/peers/%,$(basename \
	$(wildcard tests/bench/peers/*.c tests/bench/peers/*.cpp))) $(BUILD)/bench/peers/go $(BUILD)/bench/peers/go_echo

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: deb all lib stranded tests examples benches check corpus demo bench clean format install unit e2e cxx abi

all: lib stranded examples $(BUILD)/strand.pc

lib: $(strand_so) $(strand_a) $(BUILD)/strand.pc
stranded: $(BUILD)/stranded
tests: unit e2e cxx
unit: $(unit_bin)
e2e: $(target_bin)
cxx: $(BUILD)/tests/cxx/channels
abi: $(strand_so)
	tests/check-abi -r $(BUILD)
examples: $(example_bin) $(example_bin:%=%.static)
benches: $(bench_bin)

# Rebuild when the flags change.
flags := $(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(VERSION)
$(BUILD)/flags: force
	@mkdir -p $(@D)
	@echo '$(flags)' | cmp -s - $@ || echo '$(flags)' > $@
.PHONY: force

$(BUILD)/user/strand/%.o $(BUILD)/user/leakgc/%.o: private CFLAGS += $(STRAND_CFLAGS)

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.o: %.S $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,AS)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# One object whose hidden symbols are local: a static user sees strand_* and nothing else.
$(strand_a): $(strand_obj)
	$(call say,AR)$(CC) -r -nostdlib -o $(BUILD)/libstrand.o $(strand_obj)
	$(Q)$(OBJCOPY) --localize-hidden $(BUILD)/libstrand.o
	$(Q)rm -f $@ && ar rcsD $@ $(BUILD)/libstrand.o

# q, not r: two folders may hold files of the same name.
$(strand_all_a): $(strand_obj)
	$(call say,AR)rm -f $@ && ar qcsD $@ $(strand_obj)

$(strand_so): $(strand_obj) user/strand/libstrand.map
	$(call say,LD)$(CC) -shared $(CFLAGS) $(LDFLAGS) -Wl,-soname,$(@F) \
		-Wl,--version-script=user/strand/libstrand.map -Wl,-z,now,-z,relro,-z,noexecstack \
		$(if $(SANITIZE),,-Wl,-z,defs) -o $@ $(strand_obj) -lpthread
	$(Q)ln -sf $(@F) $(BUILD)/libstrand.so

# Made anew each time, as it depends on variables; written only when it changes.
$(BUILD)/strand.pc: user/strand/strand.pc.in force
	@mkdir -p $(@D)
	@sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' $< > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# ---- BPF -----------------------------------------------------------------------
$(BUILD)/gen/vmlinux.h: $(wildcard /sys/kernel/btf/vmlinux)
	@mkdir -p $(@D)
	$(call say,GEN)$(BPFTOOL) btf dump file /sys/kernel/btf/vmlinux format c > $@

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c $(wildcard bpf/*.h) include/strand/abi.h $(BUILD)/gen/vmlinux.h
	@mkdir -p $(@D)
	$(call say,BPF)$(CLANG) -g -O2 -target bpf -mcpu=v3 -Wall -Werror \
		-D__TARGET_ARCH_$(if $(filter x86_64,$(ARCH)),x86,arm64) -Iinclude -Ibpf -I$(BUILD)/gen -c -o $@ $<
	$(Q)llvm-strip -g $@ 2>/dev/null || true

$(BUILD)/gen/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(call say,SKEL)$(BPFTOOL) gen skeleton $< name $* > $@

# The skeleton is generated code: it is held to its own warnings, not to ours.
$(BUILD)/user/observe/%.o: private CPPFLAGS += -isystem $(BUILD)/gen -DSTRANDED_VERSION='"$(VERSION)"'
$(BUILD)/user/cmd/main.o: private CPPFLAGS += -DSTRANDED_VERSION='"$(VERSION)"'
# Written out: -MMD leaves headers of -isystem out.
$(BUILD)/user/observe/attach.o: $(skeletons)

$(stranded_a): $(filter-out $(BUILD)/user/cmd/main.o,$(stranded_obj))
	$(call say,AR)rm -f $@ && ar qcsD $@ $^

$(BUILD)/stranded: $(BUILD)/user/cmd/main.o $(stranded_a)
	$(call say,LD)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(stranded_libs)

# ---- test programs -------------------------------------------------------------
# Programs of the runtime's users: unoptimised, as they would debug them.
$(BUILD)/examples/%: tests/examples/%.c $(strand_so) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -Iinclude -std=gnu11 -O1 -g -Wall -Wextra -Werror $(if $(SANITIZE),-fsanitize=$(SANITIZE)) \
		-MMD -MP -MF $@.d -o $@ $< -L$(BUILD) -lstrand -Wl,-rpath,'$$ORIGIN/..'

# The same, static and stripped: nothing but the note tells that the runtime is in there.
$(BUILD)/examples/%.static: tests/examples/%.c $(strand_a) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -Iinclude -std=gnu11 -O2 -Wall -Wextra -Werror -static -s \
		-MMD -MP -MF $@.d -o $@ $< $(strand_a) -lpthread

tested_a := $(if $(filter 0,$(OBSERVER)),,$(stranded_a)) $(strand_all_a)
$(BUILD)/tests/unit/%: tests/unit/%.c $(tested_a) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $< $(tested_a) -lcmocka -lpthread \
		$(if $(filter 0,$(OBSERVER)),,$(stranded_libs) -ljansson)

$(BUILD)/tests/e2e/%: tests/e2e/%.c $(strand_a) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $< $(strand_a) -lpthread

# Functions of cases are found by name, so they are exported and never inlined.
$(BUILD)/tests/leaks/corpus: $(corpus_src) tests/leaks/corpus.h $(strand_all_a) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -O1 -fno-inline -fno-optimize-sibling-calls \
		-fvisibility=default -Wno-missing-prototypes -rdynamic -o $@ $(corpus_src) \
		$(strand_all_a) -lpthread -ldl

# Both sides in one program: the observer, and what it observes.
$(BUILD)/bench/observe: tests/bench/observe.c $(strand_a) $(stranded_a) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $< $(stranded_a) $(strand_a) \
		-lpthread $(stranded_libs)

$(BUILD)/bench/%: tests/bench/%.c $(strand_a) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $< $(strand_a) -lpthread -lm

# Of the observer's views, not of the runtime.
$(BUILD)/bench/views: tests/bench/views.c $(stranded_a) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -o $@ $< $(stranded_a) $(stranded_libs)

# Not held to our warnings alone: each needs what its peer's packages bring, and may be missing.
$(BUILD)/bench/peers/state_threads: tests/bench/peers/state_threads.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) -std=gnu11 -O2 -Wall -Wextra -MMD -MP -o $@ $< -lst

$(BUILD)/bench/peers/%: tests/bench/peers/%.cpp
	@mkdir -p $(@D)
	$(call say,CXX)$(CXX) -O2 -Wall -Wextra -MMD -MP -o $@ $< -lboost_fiber -lboost_context -lpthread

$(BUILD)/bench/peers/go: tests/bench/go/main.go
$(BUILD)/bench/peers/go_echo: tests/bench/echo.go
$(BUILD)/bench/peers/go $(BUILD)/bench/peers/go_echo:
	@mkdir -p $(@D)
	$(call say,GO)go build -o $@ $<

$(BUILD)/tests/cxx/%: tests/cxx/%.cc $(strand_so) $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CXX)$(CXX) -Iinclude -std=c++17 -O2 -g -Wall -Wextra -Werror \
		$(if $(SANITIZE),-fsanitize=$(SANITIZE)) -MMD -MP -MF $@.d -o $@ $< \
		-L$(BUILD) -lstrand -Wl,-rpath,'$$ORIGIN/../..'

# ---- for people and CI ---------------------------------------------------------
# The packages come first: the build itself is a sub-make that finds them.
check:
	@tests/install-deps
	@tests/run

corpus: $(BUILD)/tests/leaks/corpus
	@$< $(CORPUS)

# A peer that cannot be built is missing; tests/bench/run says so.
bench:
	@tests/bench/install-peers
	@$(MAKE) --no-print-directory benches
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/noprobes PROBES=0 $(BUILD)/noprobes/bench/speed
	-@$(MAKE) --no-print-directory -k $(peer_bin) 2>$(BUILD)/bench/peers.log
	@BUILD=$(BUILD) tests/bench/run $(BENCH)

demo:
	@tests/install-deps
	@$(MAKE) --no-print-directory -j$$(nproc) stranded examples
	@BUILD=$(BUILD) tests/demo

install: lib stranded
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/strand
	install -m 755 $(BUILD)/stranded $(DESTDIR)$(BINDIR)
	install -m 755 $(strand_so) $(DESTDIR)$(LIBDIR)
	ln -sf $(notdir $(strand_so)) $(DESTDIR)$(LIBDIR)/libstrand.so
	install -m 644 $(strand_a) $(DESTDIR)$(LIBDIR)
	install -m 644 $(BUILD)/strand.pc $(DESTDIR)$(LIBDIR)/pkgconfig
	install -d $(DESTDIR)$(PREFIX)/share/gdb/auto-load$(LIBDIR)
	install -m 644 user/strand/strand-gdb.py \
		$(DESTDIR)$(PREFIX)/share/gdb/auto-load$(LIBDIR)/$(notdir $(strand_so))-gdb.py
	install -m 644 include/strand.h $(DESTDIR)$(INCLUDEDIR)
	install -m 644 include/strand/*.h $(DESTDIR)$(INCLUDEDIR)/strand
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/lib/sysusers.d
	sed 's|@BINDIR@|$(BINDIR)|' packaging/systemd/stranded.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/stranded.service
	install -m 644 packaging/systemd/stranded.sysusers \
		$(DESTDIR)$(PREFIX)/lib/sysusers.d/stranded.conf
	install -d $(DESTDIR)$(PREFIX)/share/man/man8 $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions
	install -m 644 man/stranded.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 completions/stranded.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/stranded
	install -m 644 completions/_stranded $(DESTDIR)$(PREFIX)/share/zsh/site-functions

deb:
	@packaging/make-debs $(BUILD)/packages

format:
	$(CLANG_FORMAT) -i $(shell git ls-files '*.c' '*.h')

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD) -path $(BUILD)/packages -prune -o -name '*.d' -print 2>/dev/null)
