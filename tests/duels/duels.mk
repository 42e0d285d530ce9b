.PHONY: duels-live duels-words
duels-live: setup engine ## 60 duels on a chain between a model and two degraded copies, judged, rated, audited
	@$(PY) scripts/setup_engine.py --models base,noise0.1,noise0.25
	@$(PY) -m tests.duels.live $(DUEL_ARGS)
duels-words: setup ## the same plumbing in minutes: a dozen duels on engines without a model
	@$(PY) -m tests.duels.live --words --duels 12 --pause 0.5 $(DUEL_ARGS)
.PHONY: bench-duels
bench-duels: setup ## what a rate of 0, 5, 10, 25 % duels adds to a user's wait (nothing) and to each request's work and gas
	@$(PY) -m tests.duels.bench_overhead $(DUEL_ARGS)
