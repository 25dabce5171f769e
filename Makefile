# Meridian: `make demo` and `make test` set up what they need. DEMO="--seed 2 --stay" passes arguments to the demo.
# One target directory outside the checkout, so that RocksDB is compiled once and every clone reuses it.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/meridian-target
SHELL := /bin/bash

# Programs of tests on networks: ip and iptables.
export PATH := $(PATH):/usr/sbin:/sbin

.PHONY: help setup demo test chaos sim sim-mutants million fuzz pure fmt lint deny

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

setup: ## install what the build needs (says what)
	@bash deploy/setup.sh

demo: setup ## play a day round the world on three nodes, lose a region, audit every chat
	cargo build --locked -p meridian-node -p meridian-cli
	$(CARGO_TARGET_DIR)/debug/meridian demo $(DEMO)

test: setup ## format check, lints, all tests
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo test --workspace --locked
	@$(MAKE) --no-print-directory pure deny

sim: ## simulated days with faults, a new seed each; SIM="--seeds 1000 --minutes 60" or SIM="--seed 7 --trace"
	cargo build --locked -p meridian-sim
	$(CARGO_TARGET_DIR)/debug/sim $(or $(SIM),--seeds 200)

sim-mutants: ## deliberate bugs, one after another, until a simulated day shows each
	cargo build --locked -p meridian-sim --features mutants
	$(CARGO_TARGET_DIR)/debug/sim --seed 1 --mutants $(or $(DAYS),1000)

chaos: setup ## real nodes in networks of their own, 500 rounds of faults; about 40 minutes; CHAOS="--rounds 20 --trace"
	cargo build --workspace --locked
	$(CARGO_TARGET_DIR)/debug/chaos $(CHAOS)

million: ## a million random commands against the routing core, every invariant after each; about half an hour
	PROPTEST_CASES=5000 cargo test --locked -p meridian-routing --test random

# What was found stays outside the checkout; an input worth keeping is copied to tests/fuzz/corpus by hand.
FUZZED := $(CARGO_TARGET_DIR)/fuzzed
fuzz: ## inputs that break a reader of bytes or text, sought by coverage; FUZZ="apply raft", SECONDS=60 each
	@cargo fuzz --version >/dev/null 2>&1 || \
	{ echo "cargo-fuzz is not installed: cargo install cargo-fuzz --locked" >&2; exit 1; }
	@cd tests/fuzz/libfuzzer && for target in $(or $(FUZZ),$$(cargo fuzz list --fuzz-dir .)); do \
	found=$(FUZZED)/$$target; mkdir -p $$found/corpus; echo "$$target: what breaks it is kept in $$found"; \
	CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/fuzz cargo fuzz run --fuzz-dir . -s none $$target $$found/corpus ../corpus/$$target -- \
	-artifact_prefix=$$found/ -max_total_time=$(or $(SECONDS),60) -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
	|| exit 1; done

pure: ## the routing core's dependencies hold no runtime, clock or randomness
	@tree=$$(cargo tree --locked -e normal -p meridian-routing --prefix none) || exit 1; \
	if grep -E '^(tokio|mio|rand[a-z_]*|getrandom|chrono|time|jiff|rocksdb|tonic|openraft) ' <<<"$$tree"; \
	then echo "the routing core must stay pure" >&2; exit 1; fi

fmt: ## format the sources
	cargo fmt --all

lint: setup ## clippy with warnings as errors
	cargo clippy --workspace --all-targets --locked -- -D warnings

deny: ## check licences, sources, versions and advisories, where cargo-deny is installed
	@if ! cargo deny --version >/dev/null 2>&1; \
	then echo "cargo-deny is not installed: skipped (cargo install cargo-deny --locked)"; exit 0; fi; \
	cargo deny check bans licenses sources || exit 1; \
	if cargo deny fetch db >/dev/null 2>&1; then cargo deny check --disable-fetch advisories; \
	else echo "the advisory database cannot be reached: advisories are skipped"; fi
