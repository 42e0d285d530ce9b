# Simulation targets; included by the Makefile. TRACE: an Azure-format CSV (columns TIMESTAMP, ContextTokens, GeneratedTokens).
.PHONY: reproduce reproduce-quick sim-bench coalitions calibrate-engine
TRACE ?= $(wildcard data/azure_llm_2023_conv.csv)
JOBS ?= $(shell nproc)
SIMULATE := $(PY) scripts/simulate.py
TRACE_FLAG = $(if $(TRACE),--trace $(TRACE),)

reproduce: setup ## the paper's experiments and ours -> docs/results/ (resumable; TRACE=FILE.csv adds the trace)
	@$(SIMULATE) reproduce $(TRACE_FLAG) --jobs $(JOBS)

reproduce-quick: setup ## the same tables with fewer seeds (<= 3 minutes) -> build/results-quick/
	@$(SIMULATE) reproduce $(TRACE_FLAG) --jobs $(JOBS) --quick --out build/results-quick

sim-bench: setup ## simulation cost from 10 to 10,000 nodes, and 1,000 nodes x 1,000,000 requests -> docs/results/data/
	@$(SIMULATE) bench --out docs/results
	@$(SIMULATE) bench --nodes 1000 --requests 1000000 --out docs/results

coalitions: setup ## what attacks on duels earn at every shipped setting
	@$(SIMULATE) coalitions

calibrate-engine: setup ## the step law of our own vLLM on this CPU, predicted and measured -> docs/results/data/
	@$(SIMULATE) calibrate --start base
