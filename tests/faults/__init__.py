"""Whole-market fault harnesses. They never count by themselves: every count comes from the auditor's JSON."""
