.PHONY: injections
injections: setup ## 210 attempts in 15 families to talk a judge over; JUDGE_ARGS="--url URL --model NAME" for a model
	@$(PY) -m tests.judging.injections $(JUDGE_ARGS)
