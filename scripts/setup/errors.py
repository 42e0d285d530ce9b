"""The one error of the set-up: a sentence for a person, what was wrong and what to do. Never carries a traceback."""


class SetupError(Exception):
    """Shown as one message; the exit code is 1."""
