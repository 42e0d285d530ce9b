# Membership and safe outbound HTTP (docs/network.md).
.PHONY: gossip-sim hostile-endpoints

gossip-sim: setup ## the membership protocol at 100 and 1,000 simulated nodes; docs/figures/gossip.json
	@$(PY) -m tests.net.gossip_sim $(GOSSIP_ARGS)

hostile-endpoints: setup ## hostile registered endpoints: what peers are refused, and that nothing private is dialled
	@$(PY) -m tests.net.hostile
