"""How one answer of the stub engine goes wrong, or how slow it is. Said in a line such as `fault=crash,after=3`."""

import re
from dataclasses import dataclass, fields, replace

FAULTS = frozenset({
    "",
    "busy",          # 503: the queue was full on arrival
    "queue_full",    # the same found out late, in a burst. 503; in a stream: 200, an error event, [DONE]
    "dead",          # 500 EngineCore...; in a stream: 200, an error event, [DONE]
    "status_500",    # 500 even in a stream, and not in JSON
    "unauthorized",  # 401 whose error is a string
    "not_found",     # 404 {"detail": ...}, as an unknown route gives
    "hang",          # never an answer, not even headers
    "hang_headers",  # headers, then nothing
    "stall",         # `after` events, then nothing
    "crash",         # `after` events, then the connection is reset
    "truncated",     # `after` events, half an event, then a clean end; plain: half a JSON body
    "error_event",   # `after` events, an error event, [DONE]
    "no_done",       # a whole answer without [DONE]
    "garbage",       # something that is not JSON where JSON belongs
    "nan_usage",     # usage holds NaN
    "negative_usage",
    "huge_usage",    # ten times the tokens that were sent
    "no_usage",      # usage asked for and not given
    "extra_text",    # more text than usage counts
})  # fmt: skip
DIRECTIVE = re.compile(r"\[\[stub ([^\]\\]*)\]\]")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """`tokens`: length of the answer. `per_event`: tokens in one event. `after`: events before the fault.

    `ttft` and `delay` are seconds before the first token and between events.
    """

    fault: str = ""
    after: int = 2
    tokens: int = 16
    per_event: int = 1
    ttft: float = 0.0
    delay: float = 0.0

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"unknown fault {self.fault!r}; there are {', '.join(sorted(FAULTS))}")

    def changed(self, line: str) -> "Behaviour":
        """This behaviour with the settings of one line."""
        kinds = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        settings = {}
        for part in filter(None, (piece.strip() for piece in line.split(","))):
            name, _, text = part.partition("=")
            if name not in kinds:
                raise ValueError(f"unknown setting {name!r}; there are {', '.join(kinds)}")
            settings[name] = kinds[name](text)
        return replace(self, **settings)


def directives(header: str, model: str, body: str) -> list[str]:
    """What a request asks for itself: header X-Stub, a model called `name#...`, `[[stub ...]]` in a prompt.

    The last two survive a proxy that passes the body on.
    """
    return [line for line in (header, model.partition("#")[2], *DIRECTIVE.findall(body)) if line]
