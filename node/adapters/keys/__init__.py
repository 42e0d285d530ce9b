"""Private keys, signing and recovery."""
