"""The auditor: rebuilds every balance from chain events and re-checks every receipt, with code of its own.

It imports no other room of `node/` (it must be able to catch their bugs), holds no key and writes nothing.
"""
