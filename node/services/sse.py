"""Server-sent events as bytes: passed on untouched, except for the tail, which waits for the receipt.

Looks for a few byte patterns and parses nothing else. They cannot stand inside a text of the answer, where JSON escapes
every quote. Whole events only are passed on, so that our own lines never fall into the middle of one.
"""

import re

import orjson

from node.core.assembly import event_of
from node.core.errors import EngineFailed

MAX_EVENT_BYTES = 1 << 20
"""A token's event is about 300 bytes; with 20 logprobs it is a few KB."""
DONE = b"data: [DONE]"
_EMPTY_OR_DONE = re.compile(rb'\[(?:DONE\]|(?<="choices":\[)\]|(?<="choices": \[)\])')
"""Of all that begins with a bracket: the search leaps from one bracket to the next."""
_ERROR = b'{"error"'
_CR = ord("\r")


class EventSplitter:
    """Splits an engine's stream into what may be passed on now and the held-back tail.

    The tail starts with the usage event (empty `choices` with `usage`), an error event or [DONE].
    """

    def __init__(self) -> None:
        self._partial = b""
        self.usage_event: dict[str, object] | None = None
        self.error: dict[str, object] | None = None
        self.is_done = False
        self.has_events = False
        """Whether a whole data event has come, passed on or held (comments are only signs of life)."""
        self._is_tail_begun = False

    def feed(self, raw: bytes) -> bytes:
        """The whole events that may be passed on; b"" when there are none yet."""
        block = self._partial + raw if self._partial else raw
        if _CR in block:  # as a number: five times as fast as the one byte
            block = self._unix(block)
        if block[-2:] == b"\n\n":
            self._partial = b""
        else:
            end = block.rfind(b"\n\n") + 2
            if end < 2:
                self._partial = _bounded(block)
                return b""
            block, self._partial = block[:end], _bounded(block[end:])
        if not self.has_events:
            self.has_events = b"data:" in block
        if self._is_tail_begun:
            return self._sort(block)
        # `find`, for with `in` Python asks first whether a number is meant, which takes longer than the search.
        marked, error_at = _EMPTY_OR_DONE.search(block), block.find(_ERROR)
        if marked is None and error_at < 0:
            return block
        # Only the event with the first mark and those after it need a closer look.
        places = [error_at] if error_at >= 0 else []
        places += [marked.start()] if marked is not None else []
        end = block.rfind(b"\n\n", 0, min(places))
        cut = end + 2 if end >= 0 else 0
        return block[:cut] + self._sort(block[cut:])

    @staticmethod
    def _unix(block: bytes) -> bytes:
        """CR LF as LF; a CR at the very end may be half of one and stays."""
        return block.replace(b"\r\n", b"\n")

    def _sort(self, block: bytes) -> bytes:
        """Event by event, where the tail may begin. Events after the tail has begun are not passed on."""
        events = (event for event in block.split(b"\n\n") if event)
        return b"".join(e + b"\n\n" for e in events if not self._keep(e) and not self._is_tail_begun)

    def _keep(self, event: bytes) -> bool:
        """True when this event belongs to the tail."""
        belongs = self._is_of_tail(event.strip())
        self._is_tail_begun = self._is_tail_begun or belongs
        return belongs

    def _is_of_tail(self, event: bytes) -> bool:
        if event_of(event).is_done:  # as the payer asks, to whom all ends here, also beside an `event:` line
            self.is_done = True
            return True
        fields = parse_event(event)
        if fields is None:
            return False
        if isinstance(fields.get("error"), dict | str):
            error = fields["error"]
            self.error = error if isinstance(error, dict) else {"message": error}
            return True
        if fields.get("choices") == [] and fields.get("usage") is not None:
            self.usage_event = fields
            return True
        return False


def _bounded(partial: bytes) -> bytes:
    """An event without an end would be copied again with every read (threat H7). Raises EngineFailed."""
    if len(partial) > MAX_EVENT_BYTES:
        raise EngineFailed("the engine sends an event without an end")
    return partial


def parse_event(event: bytes) -> dict[str, object] | None:
    """The JSON object of a `data:` event; None for comments and anything else."""
    if not event.startswith(b"data:"):
        return None
    try:
        fields = orjson.loads(event[5:])
    except orjson.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) else None


def data_event(fields: object) -> bytes:
    """An event with a JSON body."""
    return b"data: " + orjson.dumps(fields) + b"\n\n"


def comment(text: bytes) -> bytes:
    """A comment: every SSE client must skip it."""
    return b": " + text + b"\n\n"
