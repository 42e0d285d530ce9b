"""The escrow and the registry against a Python model of them, step by step, on the real bytecode."""
