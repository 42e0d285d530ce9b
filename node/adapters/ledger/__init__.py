"""The ledger on SQLite or PostgreSQL."""
