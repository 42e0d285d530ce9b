"""What the engine delivered, kept as passed-on bytes and read late, in as few parses as possible.

Never shapes what the caller gets, never trusts a number that is not a whole one; `core.assembly` decides what counts.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from node.core.assembly import Assembler, billable_texts
from node.core.choices import Choice
from node.core.errors import BadRequest, EngineFailed
from node.services.events import read_events

COMPACT_BYTES = 256 * 1024
"""Raw bytes of a long stream are turned into texts at this size, so that memory grows with the text, not its frame."""


class Answer:
    """One answer under way: whole events of a stream, or one plain body."""

    def __init__(self) -> None:
        self._raw: list[bytes] = []
        self._raw_size = 0
        self._assembler = Assembler()
        self._choices: tuple[Choice, ...] | None = None
        self._texts: list[str] = []

    def add_events(self, block: bytes) -> None:
        """Whole events, as they were passed on. Raises EngineFailed for events that are no answer."""
        self._choices = None
        self._raw.append(block)
        self._raw_size += len(block)
        if self._raw_size > COMPACT_BYTES:
            self._compact()

    def add_body(self, fields: Mapping[str, Any]) -> None:
        """A whole plain body, or a held-back event. Raises EngineFailed."""
        self._choices = None
        self._feed([fields])

    def choices(self) -> tuple[Choice, ...]:
        """The choices so far. Raises EngineFailed."""
        if self._choices is None:
            if self._raw:
                self._compact()
            self._choices = self._assembler.choices()
            self._texts = [text for text in billable_texts(self._choices) if text]
        return self._choices

    def texts(self) -> list[str]:
        """The delivered texts that are counted."""
        self.choices()
        return self._texts

    @property
    def is_finished(self) -> bool:
        """Whether every choice says why it ended (after `choices`)."""
        return self._assembler.is_finished

    def usage(self, name: str) -> int | None:
        """A whole, non-negative number of the engine's usage; None for anything else."""
        value = self._assembler.usage.get(name) if self._assembler.usage else None
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

    def _compact(self) -> None:
        block, self._raw, self._raw_size = b"".join(self._raw), [], 0
        self._feed(read_events(block))

    def _feed(self, chunks: Iterable[Mapping[str, Any]]) -> None:
        try:
            for chunk in chunks:
                self._assembler.feed(chunk)
        except BadRequest as exc:
            raise EngineFailed("the engine's answer has an impossible shape") from exc
