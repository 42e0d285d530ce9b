"""Dispatching duels: which bought answers are duelled, the second answer, the opening, the steps up to the end.

The user has had the first answer long before: everything here happens beside requests and may fail without harm to one.
A duel is durable from the moment both answers are there; before that nothing is at stake, and a crash only forgets it.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace

from node.core.duel_chain import MOST_ATTEMPTS, Weighed, draw_opponent
from node.core.duel_facts import CourtFacts, DuelState
from node.core.duels import is_duel
from node.core.errors import EngineFailed, WwwserveError
from node.core.facts import Cursor
from node.core.hashing import keccak
from node.core.types import Address, Bytes32, Flag, Seconds
from node.ports.duels import KeptCase
from node.ports.network import Membership
from node.ports.routing import Bargain, PeerMarket, PeerSellers, Purchase, Twin
from node.services.duel_canaries import Canaries
from node.services.duel_cases import can_be_shown, case_of, choices_of
from node.services.duel_course import Course
from node.services.duel_parts import DuelParts
from node.services.duel_seeds import Seeds

log = logging.getLogger(__name__)
MOST_AT_ONCE = 32
"""Due duels under way; what comes above them is not duelled (and an auditor may ask why)."""
START_SECONDS, IDLE_SECONDS = 60.0, 30.0
AFTER_SECONDS = 0.1
"""Between an answer and the look at it: the user's last event and receipt go first, as do their two commits."""
LAST_PART = 16
"""In this part of an epoch no duel is opened any more."""


@dataclass(slots=True)
class Duelling:
    """`note` every bought answer; `run` by the clock."""

    parts: DuelParts
    seeds: Seeds
    market: PeerMarket
    sellers: PeerSellers
    membership: Membership
    course: Course
    canaries: Canaries | None = None
    shown: Callable[[Address, bool], None] = lambda _executor, _is_shown: None
    """Told whether an executor's answer that was due for a duel could be shown to judges, if one of the two could."""
    after_seconds: float = AFTER_SECONDS
    skipped: Counter[str] = field(default_factory=Counter)
    """Due duels that were not held, by the reason."""
    _busy: set[asyncio.Task[None]] = field(default_factory=set)
    _due: int = 0

    def note(self, bargain: Bargain) -> None:
        """An answer of a peer came whole. Returns at once."""
        if bargain.purchase.flags & Flag.NO_DUEL or bargain.answer.answer.payer != self.parts.me:
            return
        task = asyncio.get_running_loop().create_task(self._consider(bargain))
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)

    async def run(self) -> None:
        """Seeds, openings, draws, ends. Raises ChainUnavailable or LedgerUnavailable: the next run goes on."""
        cursor = await self.parts.head()
        if cursor is None:
            return
        await self.seeds.run(cursor.head.timestamp)
        running = await self.parts.book.load_running()
        for duel, facts in running.items():
            if facts.dispatcher == self.parts.me:
                await self.course.push(duel, facts, cursor.head)
        is_free = not await self.parts.is_waiting_for("open ")
        for case in await self.parts.store.load_cases():
            if case.duel not in running and not await self._is_dropped(case, cursor) and is_free:
                is_free = not await self._open(case)

    async def settle(self, seconds: float | None = None) -> None:
        """Wait for second answers under way; after `seconds` give them up: nothing is at stake yet."""
        if not self._busy:
            return
        _, late = await asyncio.wait(set(self._busy), timeout=seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    # ---- from an answer to a case ----

    async def _consider(self, bargain: Bargain) -> None:
        await asyncio.sleep(self.after_seconds)
        try:
            await self._duel(bargain)
        except WwwserveError as exc:
            log.warning("request %s is not duelled: %s", bargain.receipt.request_id.hex(), exc.message)

    async def _duel(self, bargain: Bargain) -> None:
        cursor, rules = await self.parts.head(), await self.parts.rules()
        if cursor is None:
            return
        epoch = cursor.head.timestamp // rules.epoch
        known = await self.seeds.of_epoch(epoch)
        answer = bargain.answer.answer
        if known is None or not is_duel(known[0], answer.request_id, answer.nonce_commit, known[1]):
            return
        self._due += 1
        try:
            await self._hold(bargain, known[0], epoch)
        finally:
            self._due -= 1

    async def _hold(self, bargain: Bargain, seed: Bytes32, epoch: int) -> None:
        """A due duel, up to its case."""
        reason = await self._hindrance(bargain)
        found = None if reason else await self._second(bargain, seed, epoch)
        if found is None:
            self.skipped[reason := reason or "no two answers that judges could be shown"] += 1
            log.warning("request %s is not duelled: %s", bargain.receipt.request_id.hex(), reason)
            return
        case = await asyncio.to_thread(case_of, bargain, found, epoch, Seconds(int(self.parts.clock.now())))
        await self.parts.store.keep_case(case)
        if self.canaries is not None:
            await self.canaries.note(case)

    async def _hindrance(self, bargain: Bargain) -> str:
        """Why the duel could never be opened, looked at before a second answer is paid for; empty if it can."""
        court, executor = await self.parts.book.load_court(), bargain.answer.answer.executor
        if self._due > MOST_AT_ONCE:
            return "too many are under way"
        if not court.place_of(self.parts.me):
            return "this node is not enrolled"
        if not court.place_of(executor):
            return "its executor is not enrolled"
        if await self.parts.chain.read_balance(self.parts.me) < (await self.parts.rules()).bond:
            return "the court's balance does not cover the bond"
        try:
            await asyncio.to_thread(choices_of, bargain)
        except EngineFailed as exc:
            return exc.message
        return ""

    async def _are_shown(self, both: tuple[Bargain, Bargain]) -> list[bool]:
        """Which of two answers to one request judges can be shown; routing hears of it if one can.

        If none can it is the request's doing: `logit_bias` makes any model say its longest tokens (D12).
        """
        are_shown = [await asyncio.to_thread(can_be_shown, one) for one in both]
        for bargain, is_shown in zip(both, are_shown, strict=True):
            if any(are_shown):
                self.shown(bargain.answer.answer.executor, is_shown)
        return are_shown

    async def _second(self, bargain: Bargain, seed: Bytes32, epoch: int) -> tuple[Bargain, int] | None:
        """The answer of the first drawn who serves, with the number of its draw."""
        court = await self.parts.book.load_court()
        snapshot = court.snapshot(epoch - 1)
        parties = {_controller(court, one) for one in (self.parts.me, bargain.answer.answer.executor)}
        if not _has_judges(snapshot, parties):
            return None
        tried: set[Address] = set()
        answer = bargain.answer.answer
        for attempt in range(MOST_ATTEMPTS):
            drawn = draw_opponent(snapshot, seed, (answer.request_id, answer.nonce_commit), attempt)
            if drawn.controller in parties or drawn.provider in tried:
                continue
            tried.add(drawn.provider)
            if not _has_judges(snapshot, parties | {drawn.controller}):
                continue
            second = await self._buy(bargain, drawn)
            if second is None:
                continue
            first_fits, second_fits = await self._are_shown((bargain, second))
            if first_fits and second_fits:
                return second, attempt
            if not first_fits:
                break
        return None

    async def _buy(self, bargain: Bargain, drawn: Weighed) -> Bargain | None:
        """An ordinary offload as far as its executor can see, from the first question on. None if it does not serve."""
        member = self.membership.member(drawn.provider)
        if member is None:
            return None
        twin = Twin(bargain.salt, bargain.receipt.request_id)
        first = bargain.purchase
        same = replace(first, member=member, twin=twin, start_seconds=START_SECONDS, idle_seconds=IDLE_SECONDS)
        try:
            async with self.sellers.asked(same, bargain.answer.answer.model) as sells:
                return await self._bought(same) if sells else None
        except WwwserveError as exc:
            log.info("the second executor does not serve: %s", exc.message)
            return None

    async def _bought(self, purchase: Purchase) -> Bargain | None:
        exchange = self.market.open(purchase)
        try:
            await exchange.start()
            while await exchange.read():
                pass
            return exchange.bargain
        finally:
            exchange.cancel()

    # ---- from a case to a duel ----

    async def _is_dropped(self, case: KeptCase, cursor: Cursor) -> bool:
        """Whether there is nothing to open: it is over, or too late.

        An opening that landed in the next epoch would be held against that epoch's seed, as a wrong draw. So one is
        under way at a time, and none near an epoch's end.
        """
        facts = await self.parts.book.load_duel(case.duel)
        if facts.is_over:
            if facts.ended_at <= cursor.finalised:  # until then a reorganisation may bring it back, and its jury
                await self._drop(case)
            return True
        length = (await self.parts.rules()).epoch
        last = (case.epoch + 1) * length - length // LAST_PART
        if facts.state is DuelState.NONE and cursor.head.timestamp >= last:
            log.warning("duel %s was not opened in its epoch and is dropped", case.duel.hex())
            await self._drop(case)
            return True
        return facts.state is not DuelState.NONE

    async def _open(self, case: KeptCase) -> bool:
        length = (await self.parts.rules()).epoch
        deadline = Seconds((case.epoch + 1) * length - length // LAST_PART)
        call = self.parts.chain.open(case, keccak(case.evidence))
        return await self.parts.want(f"open {case.duel.hex()}", call, deadline)

    async def _drop(self, case: KeptCase) -> None:
        await self.parts.store.drop_case(case.duel)
        self.parts.forget(case.duel)


def _controller(court: CourtFacts, provider: Address) -> Address:
    member = court.members.get(court.place_of(provider))
    return provider if member is None else member.controller


def _has_judges(snapshot: Sequence[Weighed], parties: Container[Address]) -> bool:
    """Whether anybody could sit who is none of the parties'."""
    return any(one.weight and one.controller not in parties for one in snapshot)
