.PHONY: injections
injections: setup ## 210 attempts in 15 families to talk a judge over; JUDGE_ARGS="--url URL --model NAME" for a model
	@$(PY) -m tests.judging.injections $(JUDGE_ARGS)
.PHONY: substitution
substitution: setup engine ## is a substituted model told from the named one? real engines; writes docs/figures/substitution.json
	@$(PY) scripts/setup_engine.py --models base,noise0.1
	@$(PY) -m tests.judging.substitution $(SUBSTITUTION_ARGS)
