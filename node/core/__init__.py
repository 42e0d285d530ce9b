"""The pure rules: every decision about money, routing and quality, as functions of their arguments alone."""
