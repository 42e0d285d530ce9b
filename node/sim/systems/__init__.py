"""The systems that are compared: the market of nodes with a policy, the paper's WWW.Serve, and central dispatchers."""
