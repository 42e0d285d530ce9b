"""Whole events of a stream as JSON objects, in as few parses as possible; each means what it means to the payer.

What it means is said by `core.assembly.event_of`; all else here is a short cut to the same. An engine writes the same
bytes around every piece of text, so most of a stream is never parsed event by event. Two neighbours show those bytes,
and one parse with a mark in the text's place proves that it is the inside of a string, and of which one. An event that
differs in anything else is parsed by itself, and so is every event of a block with a carriage return.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from node.core.assembly import EVENT_END, event_of
from node.core.errors import EngineFailed
from node.core.records import record

Chunk = Mapping[str, Any]
MANY_BYTES = 4_096
"""In a shorter block a frame would cost as much as it saves."""
_END = b"\n\n"
_DATA = b"data: "
_NEXT = _END + _DATA
_BETWEEN = b"%d" % (2**53 + 1)
_CONTENT = b'"content":"'
_QUOTE, _BACKSLASH, _LF, _CR = b'"\\\n\r'
"""As numbers: `in` finds one five times as fast as the one byte."""
_MARK = "wwwserve-text"


@record
class Frame:
    """An event that only adds text: what stands before the text, and behind it."""

    head: bytes
    tail: bytes


def read_events(block: bytes) -> Iterable[Chunk]:
    """The JSON objects of whole events, in order; neighbours that only add text come as one.

    Raises EngineFailed for data that is not one object an event: the payer refuses it too.
    """
    frame = frame_of(block) if len(block) >= MANY_BYTES and _CR not in block else None
    try:
        chunks = parse_events(block) if frame is None else _read_framed(block, frame)
    except orjson.JSONDecodeError:  # bytes that no JSON string may hold
        chunks = parse_events(block)
    return _merged(chunks)


def _read_framed(block: bytes, frame: Frame) -> list[Chunk]:
    """Where nothing between a frame's own bytes can end a string, an event can be nothing else."""
    head, tail = frame.head, frame.tail
    at, end = len(head), -len(tail)
    chunks, run = list[Chunk](), list[bytes]()
    for event in block.split(_END):
        text = event[at:end]
        if b"".join((head, text, tail)) == event and _QUOTE not in text:
            run.append(text)
        else:
            chunks += [*_texts(run), *_chunks_of(event)]
            run = []
    return [*chunks, *_texts(run)]


def _texts(run: Sequence[bytes]) -> list[Chunk]:
    """The insides of JSON strings, none with a quote, as the text of one event.

    Raises JSONDecodeError if one is no such thing: a text that ends amid an escape leaves the last string open.
    """
    if not run:
        return []
    inside = b"".join(run)
    if not inside.isascii() or _BACKSLASH in inside:  # a cut might have fallen amid a letter or an escape
        inside = b'","'.join(run)
    return [_content_chunk(orjson.loads(b'["' + inside + b'"]'))]


def frame_of(block: bytes) -> Frame | None:
    """What two neighbours amid a block have in common; None where they are no such events, or may be others."""
    one, _, rest = block[block.find(_END, len(block) // 2) + len(_END) :].partition(_END)
    before, content, after = one.rpartition(_CONTENT)
    frame = Frame(before + content, after[after.find(b'"') :])
    is_usual = content and rest.partition(_END)[0].startswith(frame.head)
    return frame if is_usual and _is_sure(frame) else None


def _is_sure(frame: Frame) -> bool:
    """Whether a mark in a frame's place comes out as its text.

    Where the frame has neither escapes nor such a mark itself, a text that is the mark came from the mark's place.
    A line feed is a blank to the parser and the end of the data to the payer: `_line_object` takes none.
    """
    event = frame.head + _MARK.encode() + frame.tail
    if _BACKSLASH in event or event.count(_MARK.encode()) != 1:
        return False
    chunk = _line_object(event)
    return isinstance(chunk, dict) and _plain_text(chunk) == _MARK


def parse_events(block: bytes) -> list[Chunk]:
    """The JSON objects of whole events. Raises EngineFailed for data that is not one object an event."""
    chunks = _line_objects(block)
    if chunks is not None:
        return chunks
    events = EVENT_END.split(block) if _CR in block else block.split(_END)
    return [chunk for event in events for chunk in _chunks_of(event)]


def _line_objects(block: bytes) -> list[Chunk] | None:
    """Events of one line of data each, by one parse of all; None for any others.

    A bracket of one event might close in another, so a number stands between two of them. It is nowhere in the block; a
    whole number has one spelling, and no float equals it. Where all are found between objects, each object is an event.
    """
    inside = block[len(_DATA) :].removesuffix(_END).replace(_NEXT, b"," + _BETWEEN + b",")
    if not block.startswith(_DATA) or _LF in inside or _CR in inside or _BETWEEN in block:
        return None
    try:
        values = orjson.loads(b"[" + inside + b"]")
    except orjson.JSONDecodeError:
        return None
    chunks: list[Chunk] = values[::2]
    is_sure = values[1::2] == [int(_BETWEEN)] * block.count(_NEXT) and set(map(type, chunks)) == {dict}
    return chunks if is_sure else None


def _chunks_of(raw: bytes) -> Sequence[Chunk]:
    """The object in one event; none in a comment."""
    found = _line_object(raw)
    if isinstance(found, dict):
        return (found,)
    event = event_of(raw)
    chunk = event.chunk()
    if chunk is None and event.data is not None and not event.is_done:
        raise EngineFailed("an event of the engine's answer is not one JSON object")
    return () if chunk is None else (chunk,)


def _line_object(event: bytes) -> object:
    """The JSON of an event that is one line of data; None for any other, and for what only `event_of` may read."""
    if not event.startswith(_DATA) or _LF in event or _CR in event:
        return None
    try:
        return orjson.loads(event[len(_DATA) :])
    except orjson.JSONDecodeError:
        return None


def _merged(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
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


def _plain_text(chunk: Chunk) -> str | None:
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


def _content_chunk(run: list[str]) -> Chunk:
    return {"choices": [{"index": 0, "delta": {"content": "".join(run)}, "finish_reason": None}]}
