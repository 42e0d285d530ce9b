"""What the engine delivered, kept as passed-on bytes and read late, in as few parses as possible.

Never shapes what the caller gets, never trusts a number that is not a whole one; `core.assembly` decides what counts.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import orjson

from node.core.assembly import Assembler, billable_texts, event_of
from node.core.choices import Choice
from node.core.errors import BadRequest, EngineFailed

COMPACT_BYTES = 256 * 1024
"""Raw bytes of a long stream are turned into texts at this size, so that memory grows with the text, not its frame."""
_NEXT = b"\n\ndata: "


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
        self._feed(parse_events(block))

    def _feed(self, chunks: Iterable[Mapping[str, Any]]) -> None:
        try:
            for chunk in _merged(chunks):
                self._assembler.feed(chunk)
        except BadRequest as exc:
            raise EngineFailed("the engine's answer has an impossible shape") from exc


def _merged(chunks: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Runs of chunks that only add content to the one choice, as one chunk: most of a stream is such runs."""
    run: list[str] = []
    for chunk in chunks:
        text = _plain_text(chunk)
        if text is not None:
            run.append(text)
            continue
        if run:
            yield _content_chunk(run)
            run = []
        yield chunk
    if run:
        yield _content_chunk(run)


def _plain_text(chunk: Mapping[str, Any]) -> str | None:
    """The content of a chunk that has nothing else to say; None for any other chunk."""
    if chunk.get("usage") is not None or "error" in chunk:
        return None
    try:
        (choice,) = chunk["choices"]
        delta = choice["delta"]
        if len(delta) == 1 and choice["index"] == 0 and choice["finish_reason"] is None and "text" not in choice:
            text = delta["content"]
            # `false` and 0.0 equal 0 too, and are no index to the payer
            return text if type(text) is str and type(choice["index"]) is int else None
    except (KeyError, TypeError, ValueError):
        return None
    return None


def _content_chunk(run: list[str]) -> Mapping[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": "".join(run)}, "finish_reason": None}]}


def parse_events(block: bytes) -> Iterable[Mapping[str, Any]]:
    """The JSON objects of whole events. One parse for a regular block; else as the payer reads them.

    Raises EngineFailed for data that is not one object an event: the payer refuses it too. (Pieces of one array, spread
    over events, would parse here as a whole.)
    """
    if block.startswith(b"data: "):
        regular = block[6:].rstrip()
        try:
            events = orjson.loads(b"[" + regular.replace(_NEXT, b",") + b"]")
        except orjson.JSONDecodeError:
            events = []
        if len(events) == regular.count(_NEXT) + 1 and set(map(type, events)) == {dict}:
            return cast("list[Mapping[str, Any]]", events)
    return [fields for event in block.split(b"\n\n") if (fields := _chunk_of(event)) is not None]


def _chunk_of(raw: bytes) -> Mapping[str, Any] | None:
    event = event_of(raw)
    chunk = event.chunk()
    if chunk is None and event.data is not None and not event.is_done:
        raise EngineFailed("an event of the engine's answer is not one JSON object")
    return chunk
