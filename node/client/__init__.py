"""The paying side: pay flow, wallet, local gateway. Knows nothing of the inside of a node."""
