"""A discrete-event simulator that drives the node's own pure routing code with simulated clock, engines and network."""
