"""Judging as pure functions: what a judge is shown, what its word means, when it must abstain. Asks nobody."""
