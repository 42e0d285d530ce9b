"""HTTP in: parse, authenticate, map errors to statuses. Never touches a port, a session or a contract."""
