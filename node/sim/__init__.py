"""The simulator: drives the node's own pure rules with a simulated clock, engine and network."""
