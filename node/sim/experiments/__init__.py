"""The experiments, one module a claim. `node/sim/reproduce.py` runs them in order."""
