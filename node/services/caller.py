"""The other end of a request, as the serve path sees it. Implemented by the HTTP route; a fake records what it got."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from node.core.errors import WwwserveError
from node.core.records import record
from node.services.x402 import SignedReceipt


@record
class StreamEnd:
    """What follows the last passed-on event: an error or a usage event if any, then the receipt, then [DONE]."""

    error: WwwserveError | None
    usage_event: Mapping[str, Any] | None
    receipt: SignedReceipt | None


class Caller(Protocol):
    """Whoever waits for the answer. Nothing here raises because the caller is gone."""

    @property
    def is_gone(self) -> bool:
        """Whether the caller hung up."""

    def on_gone(self, callback: Callable[[], None]) -> None:
        """Call this when the caller hangs up (at once when it has). A later callback replaces an earlier one."""

    async def read_body(self) -> bytes:
        """The request body, by counted bytes. Raises TooLarge, or BadRequest when the caller hung up within it."""

    def write(self, block: bytes) -> bool:
        """Pass on events; the first call sends the status line. False: the reader is slow, `drain` before the next."""

    async def drain(self) -> None:
        """Wait for a slow reader."""

    async def end_stream(self, end: StreamEnd) -> None:
        """The tail of a stream."""

    async def answer(self, body: bytes, receipt: SignedReceipt) -> None:
        """A whole plain answer."""

    async def refuse(
        self,
        error: WwwserveError,
        demand: Mapping[str, Any] | None = None,
        receipt: SignedReceipt | None = None,
    ) -> None:
        """An error with what the caller needs next."""
