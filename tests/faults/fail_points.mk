.PHONY: fail-points
fail-points: setup ## SIGKILL at every named durable boundary in turn, under load; the auditor counts
	@$(PY) -m tests.faults.fail_points
