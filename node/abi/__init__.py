"""ABI and bytecode of the contracts, as built by forge (a test compares them)."""
