.PHONY: bench
bench: setup ## the paid node beside nginx, vllm-router, sglang-router and LiteLLM, in one run (under 10 minutes)
	@$(PY) -m tests.bench $(BENCH_ARGS)
