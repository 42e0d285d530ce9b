"""Development only: SIGKILL this process before or after the nth crossing of one named durable boundary.

`WWWSERVE_FAIL_POINT=after-admit:3` dies when the third admission is durable and nobody has been told. A boundary is
some methods of a port; `app.py` passes every port through `FailPoint.wrap`, which hands back the very same object
unless its boundary is the armed one. No other room knows of it, and it is refused outside the development chain.
"""

import inspect
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, TypeVar, cast

from sqlalchemy import Engine as Database
from sqlalchemy import event

from node.core.errors import BadConfig
from node.core.facts import ChainBatch
from node.ports.engine import Engine

DEVELOPMENT_CHAIN_ID = 31337
PortT = TypeVar("PortT")
Moment = Literal["before", "after"]


def _always(*_: object) -> bool:
    return True


def _has_events(batch: ChainBatch) -> bool:
    return bool(batch.events)


@dataclass(frozen=True, slots=True)
class Boundary:
    """Methods of one port. Calls whose arguments `counts` refuses are not counted."""

    port: str
    methods: tuple[str, ...]
    moments: tuple[Moment, ...] = ("before", "after")
    counts: Callable[..., bool] = _always


BOUNDARIES: Mapping[str, Boundary] = {
    "take-lease": Boundary("ledger", ("take_lease",)),
    "admit": Boundary("ledger", ("admit",)),
    "commit": Boundary("database", ("COMMIT",), ("before",)),
    "note-mark": Boundary("high_water", ("note",)),
    "start-engine": Boundary("exchange", ("start",)),
    "token": Boundary("exchange", ("read", "take")),
    "close": Boundary("ledger", ("close",)),
    "sign-receipt": Boundary("receipt_signer", ("sign",)),
    "send-receipt": Boundary("caller", ("answer", "end_stream")),
    "keep-signature": Boundary("ledger", ("keep_signature",)),
    "sign-claim": Boundary("claim_signer", ("sign",)),
    "save-claims": Boundary("settlement", ("save_claims",)),
    "sign-tx": Boundary("chain", ("sign_tx",)),
    "save-tx": Boundary("outbox", ("save_attempt",)),
    "broadcast": Boundary("chain", ("send_raw",)),
    "book-tx": Boundary("outbox", ("save_state",)),
    "book-events": Boundary("chain_book", ("book",), counts=_has_events),
}
"""Every durable boundary of a node, in the order of a request's life. note-mark follows each COMMIT of the writer at
once; before-token:1 is the first token; before-book-tx: a transaction was seen mined and is not booked."""

NAMES = tuple(f"{moment}-{name}" for name, boundary in BOUNDARIES.items() for moment in boundary.moments)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class FailPoint:
    """One armed boundary, or none. Counts over all objects that it wraps, from whatever thread."""

    def __init__(self, name: str = "", number: int = 1, die: Callable[[], None] = _die) -> None:
        moment, _, boundary = name.partition("-")
        self.moment = moment
        self.boundary = BOUNDARIES.get(boundary, Boundary("", ()))
        self._number = number
        self._die = die
        self._crossings = count(1)

    def wrap(self, port: str, inner: PortT) -> PortT:
        """The same object, unless the armed boundary is one of this port's."""
        return cast("PortT", _Armed(inner, self)) if port == self.boundary.port else inner

    def engine(self, inner: Engine) -> Engine:
        """An engine whose exchanges are wrapped."""
        return cast("Engine", _ArmedEngine(inner, self)) if self.boundary.port == "exchange" else inner

    def serving(self, inner: PortT) -> PortT:
        """A serve service whose callers are wrapped."""
        return cast("PortT", _ArmedServing(inner, self)) if self.boundary.port == "caller" else inner

    def watch_commits(self, database: Database) -> None:
        """Every COMMIT of the database's connections. Raises BadConfig where the driver tells of none."""
        if self.boundary.port != "database":
            return
        if database.dialect.name != "sqlite":
            raise BadConfig("fail point before-commit works with SQLite only")

        def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 -- the driver's connection
            connection.set_trace_callback(self._trace)

        event.listen(database, "connect", prepare)

    def cross(self) -> None:
        """Once more; does not return from the nth time."""
        if next(self._crossings) == self._number:
            self._die()

    def _trace(self, statement: str) -> None:
        """SQLite tells of a statement before it runs."""
        if statement in self.boundary.methods:
            self.cross()


class _Armed:
    """A port with a fuse in some of its methods."""

    def __init__(self, inner: object, point: FailPoint) -> None:
        self._inner = inner
        self._point = point

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- whatever the port has
        found = getattr(self._inner, name)
        return _fused(found, self._point) if name in self._point.boundary.methods else found


class _ArmedEngine(_Armed):
    """Hands out armed exchanges."""

    def open(self, path: str, body: bytes) -> object:
        return self._point.wrap("exchange", self._inner.open(path, body))  # type: ignore[attr-defined]


class _ArmedServing(_Armed):
    """Serves armed callers."""

    async def serve(self, path: str, payment_header: bytes | None, caller: object) -> None:
        await self._inner.serve(path, payment_header, self._point.wrap("caller", caller))  # type: ignore[attr-defined]


def _fused(call: Callable[..., Any], point: FailPoint) -> Callable[..., Any]:
    def before(*args: object) -> None:
        if point.moment == "before" and point.boundary.counts(*args):
            point.cross()

    def after(*args: object) -> None:
        if point.moment == "after" and point.boundary.counts(*args):
            point.cross()

    def run(*args: object, **more: object) -> object:
        before(*args)
        result = call(*args, **more)
        after(*args)
        return result

    async def run_later(*args: object, **more: object) -> object:
        before(*args)
        result = await call(*args, **more)
        after(*args)
        return result

    return run_later if inspect.iscoroutinefunction(call) else run


def read_fail_point(text: str, chain_id: int, die: Callable[[], None] = _die) -> FailPoint:
    """Parse `name:number`; "" arms nothing. Raises BadConfig for an unknown name or outside the development chain."""
    if not text:
        return FailPoint()
    if chain_id != DEVELOPMENT_CHAIN_ID:
        raise BadConfig(
            f"fail_point is for the development chain {DEVELOPMENT_CHAIN_ID} only, this is chain {chain_id}"
        )
    name, _, number = text.partition(":")
    if name not in NAMES:
        raise BadConfig(f"no fail point {name!r}; there are {', '.join(NAMES)}")
    if not number.isascii() or not number.isdigit() or int(number) < 1:
        raise BadConfig(f"a fail point is NAME:COUNT with a count from 1 on, not {text!r}")
    return FailPoint(name, int(number), die)
