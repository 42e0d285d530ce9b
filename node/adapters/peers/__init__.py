"""`ports.Peers` over HTTP/1.1: a client for endpoints that strangers registered (threats H1, H2, H4, H6, H7, H8)."""

from node.adapters.peers.peers import HttpPeers, PeerSettings

__all__ = ["HttpPeers", "PeerSettings"]
