"""Seeded frauds for the auditor: one folder each (history.json, expected.json), made by generate.py, run by run.py."""
