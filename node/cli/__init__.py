"""Command lines, one a module; scripts/ holds their shims."""
