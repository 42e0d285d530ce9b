"""The chain by JSON-RPC."""
