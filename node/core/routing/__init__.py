"""Where a request is served: loads, forecasts, bids, the stake-weighted draw and the provider's own policies.

Everything here is pure: the live node and the simulator call the same functions with their own clock, dice and peers.
"""
