.PHONY: reorgs rpc-faults
reorgs: setup ## N random schedules of reorganisations (depth 1-64): the books equal a fresh index
	@$(PY) -m tests.faults.reorgs --count $(N)

rpc-faults: setup ## every way an RPC endpoint fails: nothing wrong is booked, and it heals alone
	@$(PY) -m tests.faults.rpc_faults
