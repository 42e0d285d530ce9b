"""A whole market on this machine, as real processes: what `make demo`, `make devnet` and the end-to-end tests run."""
