.PHONY: duels-live duels-words
duels-live: setup engine ## 60 duels on a chain between a model and two degraded copies, judged, rated, audited
	@$(PY) scripts/setup_engine.py --models base,noise0.1,noise0.25
	@$(PY) -m tests.duels.live $(DUEL_ARGS)
duels-words: setup ## the same plumbing in minutes: a dozen duels on engines without a model
	@$(PY) -m tests.duels.live --words --duels 12 --pause 0.5 $(DUEL_ARGS)
