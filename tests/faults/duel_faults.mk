.PHONY: duel-faults
duel-faults: setup ## every actor of a duel vanishes in every phase: a stranger's call ends it, bonds as specified
	@$(PY) -m tests.faults.duel_faults
