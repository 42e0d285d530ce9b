"""A secret that does not show itself: not in a log, not in a traceback, not in a pickle (threat K1)."""

from typing import NoReturn


class Secret:
    """Bytes that only `reveal` gives out. Comparing is left out on purpose: it would invite timing and logging."""

    __slots__ = ("_hidden",)

    def __init__(self, hidden: bytes) -> None:
        self._hidden = hidden

    def reveal(self) -> bytes:
        """The bytes themselves. Never put them into a message, an exception or a name that lives long."""
        return self._hidden

    def __repr__(self) -> str:
        return "Secret(**redacted**)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never pickled or copied")
