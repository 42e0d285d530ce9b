"""The auditor: proves or refutes a settlement ledger. Shares no code with what it audits."""
