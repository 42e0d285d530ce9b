.PHONY: bench
bench: setup ## the paid node beside nginx, vllm-router, sglang-router and LiteLLM, in one run (under 10 minutes)
	@$(PYTHON) scripts/bootstrap.py --extras test,dev,sim
	@$(PY) -m tests.bench $(BENCH_ARGS)
