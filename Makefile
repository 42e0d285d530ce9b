# One word a task. `make help` lists them; each target sets up what it needs by itself.
PYTHON ?= python3
PY := .venv/bin/python
# A Node.js that came from PyPI stands in the virtual environment; scripts/solc and forge must find it.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
.DEFAULT_GOAL := help
.PHONY: help setup engine demo devnet test test-full check kill-loop clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: ## virtual environment and npm packages in this checkout
	@$(PYTHON) scripts/bootstrap.py

engine: setup ## the CPU build of vLLM and the small model, in your cache folder
	@$(PY) scripts/setup_engine.py $(ENGINE_ARGS)

demo: setup ## the whole market once: chain, contracts, providers, vLLM, a paid stream, settlement, audit
	@$(PY) scripts/demo.py $(DEMO_ARGS)

devnet: setup ## the same market, left running until Ctrl-C
	@$(PY) scripts/devnet.py $(DEVNET_ARGS)

test: setup ## every fast test, the contracts' and the end-to-end run with a real vLLM (under 25 minutes)
	@$(PYTHON) scripts/bootstrap.py --system-packages
	@$(PY) scripts/setup_engine.py --models base,tiny-random
	@$(MAKE) --no-print-directory check contracts
	@$(PY) -m pytest -m "not slow" $(WORKERS) $(PYTEST_ARGS)

test-full: test ## the slow suites too (about three hours): deep contracts, kills, faults, mutation, live networks with real engines
	@$(PY) -m pytest -m "slow" $(PYTEST_ARGS)
	@$(MAKE) --no-print-directory contracts-deep mutation kill-loop fail-points rpc-faults disk-faults reorgs
	@$(MAKE) --no-print-directory net-test net-real duels-live

check: setup ## format, lint, types, import rules
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo 2>/dev/null || .venv/bin/lint-imports

# The tests wait more than they work: four workers on two cores; a file stays with one worker and its engine.
WORKERS ?= -n 4 --dist loadfile
N ?= 20
kill-loop: setup ## N random SIGKILLs of nodes and gateway under load; the auditor counts
	@$(PY) -m tests.faults.kill_loop --kills $(N)

clean: ## build output of this checkout (not the cache folder, not the environment)
	@rm -rf contracts/out contracts/cache contracts/out-analysis contracts/cache-analysis run build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache

include contracts/contracts.mk
include tests/bench/bench.mk
include node/audit/audit.mk
include node/sim/sim.mk
include tests/faults/chain_faults.mk
include tests/faults/duel_faults.mk
include tests/faults/fail_points.mk
include tests/faults/ledger_faults.mk
include tests/net/net.mk
include tests/net/peers.mk
include tests/judging/judging.mk
include tests/duels/duels.mk
