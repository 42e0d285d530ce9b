"""Use cases, one a module: they open short transactions, ask core to decide and ports to act."""
