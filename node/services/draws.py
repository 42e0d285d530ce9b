"""One draw: walk the order, ask the first that nothing speaks against, write everybody down with what became of them.

The order is not this node's choice (core.routing.draw); whom it passes over is, and for that it owes a reason that an
auditor can read at `GET /v1/draws/{request_id}`.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from node.core.errors import LedgerUnavailable, NotFound
from node.core.membership.members import Member
from node.core.routing.candidates import Walk, choose_candidates
from node.core.routing.config import ProviderConfig
from node.core.routing.draw import Seats, draw_seed
from node.core.routing.record import Act, DrawRecord, Step, record_hash
from node.core.routing.types import RouteRequest, Skip
from node.core.types import Address, Bytes32, Micros
from node.core.wire import hex_of
from node.ports.network import Membership
from node.ports.routing import DrawBook, KeptDraw
from node.services.bids import Asker, Heard, Identity, QuestionMaker
from node.services.routing_basis import Basis

log = logging.getLogger(__name__)
DEEPEST_WALK = 512
"""Providers of the order looked at before giving up."""
WRITE_AFTER_SECONDS = 0.05
"""The record is signed and written once the request is on its way: its first token does not wait for that."""
DAY_MICROS = 86_400 * 1_000_000
PURGE_BITE = 500
ROUNDS = 3
"""When nobody asked said yes, so many times the next ones of the order are asked."""

Judge = Callable[[Heard], Skip | None]
"""What speaks against a bid after all (its price)."""


@dataclass(frozen=True, slots=True)
class DrawTask:
    """What is drawn for."""

    request: RouteRequest
    origin: Bytes32
    model: Bytes32
    config: ProviderConfig
    know: Callable[[Address], Skip | None]
    judge: Judge
    standing: Callable[[Member], Heard | None] = lambda _: None
    """A peer's standing bid where it answers for this request: then it is not asked."""


@dataclass(slots=True)
class Drawn:
    """What came of a draw: acceptors in drawn order, and every provider looked at."""

    basis: Basis
    seats: Seats | None
    """None: every candidate is another one, as the paper draws them."""
    heard: list[Heard]
    steps: dict[Address, Step]

    @property
    def bids(self) -> list[Heard]:
        """Those who would serve it."""
        return [one for one in self.heard if one.bid is not None]


class Draws:
    """Makes, keeps and shows draws."""

    def __init__(self, identity: Identity, membership: Membership, asker: Asker, book: DrawBook) -> None:
        self.identity = identity
        self._membership = membership
        self._asker = asker
        self._book = book
        self._writing: set[asyncio.Task[None]] = set()

    async def draw(self, basis: Basis, task: DrawTask, count: int) -> Drawn:
        """Ask who gets the first `count` seats; if nobody says yes, who gets the next, and so on."""
        seed = draw_seed(task.request.request_id, self.identity.domain.separator, self.identity.me)
        order = islice(basis.stakes.order(seed), DEEPEST_WALK)
        drawn = Drawn(basis, None if task.config.distinct_candidates else Seats(basis.stakes, seed), [], {})
        for _ in range(ROUNDS):
            members = self._walk(order, task, count, drawn)
            if not members:
                break
            heard = await self._hear(members, task)
            drawn.heard.extend(self._judged(one, task.judge) for one in heard)
            if drawn.bids:
                break
        for one in drawn.heard:
            act = Act.BID if one.bid is not None else Act.REFUSED
            drawn.steps[one.member.payee] = Step(one.member.payee, act, one.reason or "", one.evidence)
        return drawn

    async def ask_one(self, member: Member, task: DrawTask) -> Heard | None:
        """What one peer says who was drawn in another way. None: passed over, for what passes over a candidate."""
        walk = Walk(self.identity.me, task.request, task.config, task.know)
        if not choose_candidates((member.payee,), walk, 1).chosen:
            return None
        (heard,) = await self._hear([member], task)
        return self._judged(heard, task.judge)

    async def _hear(self, members: list[Member], task: DrawTask) -> list[Heard]:
        """Standing bids, and the answers of those who have none to go by; in the members' order."""
        known = {member.payee: task.standing(member) for member in members}
        asked = [member for member in members if known[member.payee] is None]
        if asked:
            answers = await self._asker.ask_all(asked, self._question(task))
            known.update((one.member.payee, one) for one in answers)
        return [one for one in known.values() if one is not None]

    def _walk(self, order: Iterator[Address], task: DrawTask, count: int, drawn: Drawn) -> list[Member]:
        def noted() -> Iterator[Address]:
            for address in order:
                drawn.steps[address] = Step(address, Act.REFUSED, Skip.TIMED_OUT)
                yield address

        walk = Walk(self.identity.me, task.request, task.config, task.know)
        if drawn.seats is not None:
            drawn.seats.rise()
        found = choose_candidates(noted(), walk, count, drawn.seats)
        for skipped in found.skipped:
            drawn.steps[skipped.provider] = Step(skipped.provider, Act.SKIPPED, skipped.reason)
        members = [self._membership.member(address) for address in found.chosen]
        return [member for member in members if member is not None]

    def _question(self, task: DrawTask) -> QuestionMaker:
        me = self.identity.me
        request = task.request
        on_path = RouteRequest(
            request.request_id,
            request.models,
            request.prompt_tokens,
            request.max_tokens,
            request.finish_by,
            (*request.path, me),
            request.demands,
        )
        return QuestionMaker(me, on_path, task.origin, task.model, self.identity.micros())

    @staticmethod
    def _judged(heard: Heard, judge: Judge) -> Heard:
        against = judge(heard) if heard.bid is not None else None
        return heard if against is None else Heard(heard.member, None, heard.row, against, heard.evidence)

    def keep(self, task: DrawTask, drawn: Drawn, number: int, outcome: tuple[str, str, Address | None]) -> None:
        """Sign the record and write it soon; the request does not wait for it. `outcome`: decision, reason, chosen."""
        decision, reason, chosen = outcome
        steps = dict(drawn.steps)
        if chosen is not None and chosen in steps:
            steps[chosen] = Step(chosen, Act.CHOSEN, "", steps[chosen].evidence)
        record = DrawRecord(
            request_id=task.request.request_id,
            dispatcher=self.identity.me,
            block_number=drawn.basis.block.number,
            block_hash=drawn.basis.block.hash,
            model=task.request.models[0],
            round=number,
            decision=decision,
            reason=reason,
            made_at=self.identity.micros(),
            steps=tuple(steps.values()),
        )
        writing = asyncio.get_running_loop().create_task(self._write(record))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def _write(self, record: DrawRecord) -> None:
        await asyncio.sleep(WRITE_AFTER_SECONDS)
        document = record.document()
        kept = KeptDraw(document, self.identity.sign(record_hash(document)), record.made_at)
        try:
            await self._book.keep(record.request_id, record.round, kept)
        except LedgerUnavailable:
            log.warning("the draw of request %s was not kept", record.request_id.hex())

    async def purge(self, days: int) -> int:
        """Forget what auditors had `days` days to look at; how many draws. In bites, so that no sale waits long."""
        before = Micros(self.identity.micros() - days * DAY_MICROS)
        purged = bite = await self._book.purge(before, PURGE_BITE)
        while bite == PURGE_BITE:
            bite = await self._book.purge(before, PURGE_BITE)
            purged += bite
        return purged

    async def settle(self) -> None:
        """Wait for what is being written."""
        if self._writing:
            await asyncio.wait(set(self._writing))

    async def show(self, request_id: Bytes32) -> dict[str, Any]:
        """Every draw of a request. Raises NotFound."""
        kept = await self._book.load(request_id)
        if not kept:
            raise NotFound("this node made no draw for that request", param="request_id")
        return {
            "requestId": hex_of(request_id),
            "dispatcher": hex_of(self.identity.me),
            "operator": hex_of(self.identity.signer.address),
            "draws": [
                {"record": json.loads(one.document), "document": one.document, "signature": hex_of(one.signature)}
                for one in kept
            ],
        }
