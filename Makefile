# SPDX-License-Identifier: MIT
#
# A thin front of Meson. Each command first installs the Debian packages that it needs, or names
# them (tools/setup, tools/packages), and configures its build directory once (tools/configure).

CMD     ?= examples/messy
SUBJECT ?=
JSON    ?=
TARGET  ?= ledger
SECONDS ?= 60
PREFIX  ?=

# A test build has every optional part.
complete = -Dtests=enabled -Dprobes=enabled -Duv=enabled -Ddocker=enabled -Dreport=enabled \
           -Dconfig=enabled
test     = meson test --print-errorlogs
# Sanitizers slow the programs down, not what the packaging and the models say; and of a second
# engine they see the same code.
sanitized_test = $(test) --setup sanitizer --no-suite packaging --no-suite model \
                 --no-suite second-engine
# Under TSan every process has a second thread, and may enter no namespace; a few programs as a
# whole run under ASan only.
threads_test = $(sanitized_test) --no-suite namespaces --no-suite programs
# TSan of gcc 12 cannot start where the kernel randomizes more than 28 bits of an address.
fixed_addresses = $(shell setarch -R true 2>/dev/null && echo setarch -R)

.DEFAULT_GOAL := help
.PHONY: help build run test sanitize asan tsan lint format bench soak fuzz install clean

help: ## shows this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## builds the libraries, and the tool as build/cleanroom
	@tools/setup build
	@test -e build/build.ninja || tools/configure build
	@ninja -C build

# A shell in the clean room reads CMD, as it is: neither make nor a shell outside knows its TMPDIR.
override export CMD := $(value CMD)

run: build ## runs CMD in a clean room (CMD='…'; default: a messy example)
	@printf 'build/cleanroom run -- %s\n' "$$CMD"
	@build/cleanroom run --name "$$(basename -- "$${CMD%% *}")" -- sh -c "$$CMD"

test: ## runs all tests
	@tools/setup build test
	@tools/configure build $(complete)
	$(test) -C build

sanitize: asan tsan ## runs them again under ASan and UBSan, and under TSan

asan:
	@tools/setup build test
	@tools/configure build-asan -Db_sanitize=address,undefined -Db_lundef=false $(complete)
	$(sanitized_test) -C build-asan

tsan:
	@tools/setup build test
	@tools/configure build-tsan -Db_sanitize=thread -Db_lundef=false $(complete)
	$(fixed_addresses) $(threads_test) -C build-tsan

lint: ## checks: warnings of gcc and clang, clang-tidy, clang-format, shellcheck
	@tools/setup build test lint
	@tools/lint

format: ## formats all C sources in place
	@tools/setup lint
	git ls-files '*.c' '*.h' | xargs clang-format -i

bench: ## measures SUBJECT (default: all) against its peers; JSON=FILE writes it
	@tools/setup build bench $$(command -v cargo >/dev/null && echo rust) \
		$$(command -v javac >/dev/null && echo java)
	@tools/configure build-bench -Dtests=disabled -Dbench=enabled
	@ninja -C build-bench bench-programs
	bench/run --build build-bench $(if $(JSON),--json $(JSON)) $(SUBJECT)

soak: ## runs the property and torture tests with 100 times the work
	@tools/setup build test
	@tools/configure build $(complete)
	$(test) -C build --setup soak --suite property --suite torture

fuzz: ## fuzzes TARGET (default: ledger) with libFuzzer for SECONDS (default: 60)
	@tools/setup build test fuzz
	@CC=clang tools/configure build-fuzz -Dfuzz=enabled -Db_sanitize=address,undefined \
		-Db_lundef=false -Dbench=disabled $(complete)
	@ninja -C build-fuzz tests/fuzz/fuzz-$(TARGET)
	@mkdir -p build-fuzz/corpus-$(TARGET)
	cd build-fuzz && tests/fuzz/fuzz-$(TARGET) -max_total_time=$(SECONDS) -max_len=8192 \
		corpus-$(TARGET) ../tests/fuzz/corpus/$(TARGET)

install: build ## installs into PREFIX (default /usr/local), below DESTDIR if that is set
	@$(if $(PREFIX),meson configure build -Dprefix=$(PREFIX))
	meson install -C build

clean: ## removes all build directories
	rm -rf build build-*
