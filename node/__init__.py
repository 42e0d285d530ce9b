"""wwwserve: an open market node for LLM inference (WWW.Serve, arXiv 2603.20661)."""

__version__ = "0.1.0"
