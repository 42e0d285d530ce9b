.PHONY: bench-draw bench-hop net-test net-real
bench-draw: setup ## the first ten of a draw among 10,000 and 100,000 providers
	@$(PY) -m tests.net.bench_draw
net-test: setup ## five live nodes under bursts while they join, drain, leave, are killed and partitioned
	@$(PY) -m tests.net.churn $(NET_ARGS)
bench-hop: setup ## what one hop adds to the first token, against direct
	@$(PY) -m tests.net.bench_hop $(HOP_ARGS)
net-real: setup engine ## two real vLLM engines and a third node without one: SLO of the network against each alone
	@$(PY) -m tests.net.real $(REAL_ARGS)
