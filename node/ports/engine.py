"""What a served request needs besides money: an engine, a token count, an offer."""

from collections.abc import Callable, Mapping
from typing import Protocol, runtime_checkable

from node.core.messages import Offer
from node.core.types import Bytes32, Seconds, TokenCount


class Exchange(Protocol):
    """One request to an engine under way. Every wait has a deadline."""

    async def start(self) -> int:
        """Send it and return the HTTP status once the headers are in. Raises EngineFailed."""

    async def read(self) -> bytes:
        """The next raw body bytes, unparsed; b"" at the proper end. Raises EngineFailed when cut short."""

    def cancel(self) -> None:
        """Drop it at once, so that the engine stops generating; a waiting `start` or `read` raises EngineFailed."""


@runtime_checkable
class LiveExchange(Exchange, Protocol):
    """One that can also tell when bytes have come, so that nobody has to wait for them in a task."""

    def listen(self, on_more: Callable[[], object] | None) -> None:
        """Call this whenever there may be something to `take`, the end and a failure included; None: no more calls."""

    def take(self) -> bytes | None:
        """As `read`, but None when nothing has come."""


@runtime_checkable
class BoughtExchange(Exchange, Protocol):
    """One that is paid for: what is on its way when the caller leaves is owed all the same."""

    def hang_up(self) -> None:
        """As `cancel`, because the caller has gone: no fault of the other side's."""

    async def owed(self) -> TokenCount | None:
        """After a hang-up: what the other side's receipt proves. None without one in time: then it proves no more."""


class Engine(Protocol):
    """An OpenAI-compatible inference server."""

    def open(self, path: str, body: bytes) -> Exchange:
        """A POST that has not been sent yet."""

    async def is_healthy(self) -> bool:
        """Whether it would take a request now."""


@runtime_checkable
class Gauged(Protocol):
    """An engine that may tell its load."""

    async def metrics_page(self) -> str:
        """Its Prometheus page, "" when it has none. Raises EngineFailed."""


class TokenCounter(Protocol):
    """The one billing count for one (tokenizer, template) pair."""

    @property
    def tokenizer_hash(self) -> Bytes32:
        """keccak of tokenizer.json."""

    @property
    def template_hash(self) -> Bytes32:
        """keccak of the chat template."""

    def count_prompt(self, body: Mapping[str, object]) -> int:
        """Prompt tokens of a chat or completion body. Raises BadRequest for a body the template refuses."""

    def count_completion(self, text: str) -> int:
        """Tokens of delivered text, re-encoded, no end token."""


class Offers(Protocol):
    """This node's present offer and the earlier ones it must still be able to show."""

    def current(self) -> Offer:
        """The offer in force now."""

    def quoted(self, offer_hash: Bytes32, start_by: Seconds) -> Offer:
        """The offer that terms with this `startBy` may name by its hash; else the present one."""
