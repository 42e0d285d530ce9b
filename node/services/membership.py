"""Membership, live: runs `core.membership.Swim` with this node's clock, keys, books and HTTP. `ports.Membership`.

The registry in this node's own books is the only source of who is a member; gossip says only who lives. Signs packets,
rumours and bids with the operator key; sends nothing while this node is not registered.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from node.core.bids import MAX_MODELS, Bid, ModelBid, SignedBid
from node.core.errors import BadRequest, PeerFailed, WrongSignature
from node.core.hashing import Domain
from node.core.membership.gate import Gate
from node.core.membership.members import Member, Registered
from node.core.membership.packets import MAX_PAGE_BYTES, Draft, Kind, Packet, encode, struct_hash_of
from node.core.membership.rumours import Rumour, Signable, SignedRumour
from node.core.membership.settings import SwimSettings
from node.core.membership.swim import Relay, Send, Swim
from node.core.membership.tally import Tally
from node.core.routing.types import Dice
from node.core.types import ZERO32, Address, Bytes32, Micros, Signature
from node.ports.basics import Clock, Signer
from node.ports.network import Limits, Peers, ProviderBook

log = logging.getLogger(__name__)
BID_SECONDS = 2.0
"""How often the standing bid is made anew."""
STALL_SECONDS = 0.2
"""The loop woke up so much too late: a busy host, a suspended machine. Our own clock accuses nobody then."""
NO_REQUEST = Micros(0)
Recover = Callable[[Bytes32, Signature], Address]


@dataclass(frozen=True, slots=True)
class MembershipParts:
    """What the service stands on."""

    me: Address
    domain: Domain
    signer: Signer
    recover: Recover
    clock: Clock
    peers: Peers
    book: ProviderBook
    dice: Dice
    settings: SwimSettings = field(default_factory=SwimSettings)


class KeyNotary:
    """`core.membership.rumours.Notary` with real keys."""

    def __init__(self, domain: Domain, signer: Signer, recover: Recover) -> None:
        self._domain = domain
        self._signer = signer
        self._recover = recover

    def seal(self, rumour: Rumour) -> SignedRumour:
        """This node's word."""
        return SignedRumour(rumour, self.sign(rumour))

    def sign(self, message: Signable) -> Signature:
        """The operator key's signature."""
        return self._signer.sign(self._domain.digest(message.struct_hash()))

    def is_genuine(self, message: Signable, signature: Signature, operator: Address) -> bool:
        """Whether this operator key signed it."""
        return self.signer_of(self._domain.digest(message.struct_hash()), signature) == operator

    def signer_of(self, digest: Bytes32, signature: Signature) -> Address | None:
        """None when it is no signature at all."""
        try:
            return self._recover(digest, signature)
        except WrongSignature:
            return None


class MembershipService:
    """See module. `run` is the loop; `refresh` reads the registry."""

    def __init__(self, parts: MembershipParts) -> None:
        self._parts = parts
        self._notary = KeyNotary(parts.domain, parts.signer, parts.recover)
        start = int(parts.clock.now() * 1e3)  # a later life must be ahead of every earlier one
        self._swim = Swim(parts.me, parts.settings, parts.dice, self._notary, start)
        self._registered: Mapping[Address, Registered] = {}
        self._gate = Gate(parts.me, parts.domain, self._operator_of, self._notary.signer_of, self._swim.tally)
        self._number = Micros(0)
        self._next_bid = 0.0
        self._standing_rows: Callable[[], Sequence[ModelBid]] = tuple
        self._woken = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: asyncio.Task[None] | None = None

    # ports.Membership

    def alive(self, payee: Address) -> bool:
        """See ports.Membership."""
        return self._swim.is_alive(payee)

    def member(self, payee: Address) -> Member | None:
        """See ports.Membership."""
        return self._swim.member(payee, self._now)

    def members(self) -> Mapping[Address, Member]:
        """See ports.Membership."""
        return self._swim.members(self._now)

    def report_failure(self, payee: Address) -> None:
        """See ports.Membership."""
        self._swim.report_failure(payee, self._now)
        self._woken.set()

    @property
    def tally(self) -> Tally:
        """Counts for the metrics page."""
        return self._swim.tally

    def bid_with(self, standing_rows: Callable[[], Sequence[ModelBid]]) -> None:
        """What this node would bid, from now on (ports.Bidding); without it nobody hears of its load."""
        self._standing_rows = standing_rows

    # Life

    async def refresh(self) -> None:
        """The registry as the books have it; and start the loop, or start it again if it has failed."""
        registered = await self._parts.book.load_registered()
        self._registered = {one.payee: one for one in registered}
        self._swim.update_registry(registered, self._now)
        self._gate.forget(lambda payee: payee in self._registered)
        self._woken.set()
        failed = self._runner if self._runner is not None and self._runner.done() else None
        if self._runner is None or failed is not None:
            self._runner = asyncio.create_task(self._run(), name="membership")
        if failed is not None:
            failed.result()  # the job's guard logs and counts it

    async def stop(self) -> None:
        """Say goodbye, briefly, and end."""
        if self._runner is not None:
            self._runner.cancel()
        if self._parts.me in self._registered:
            goodbyes = [self._exchange(send) for send in self._swim.leave(self._now)]
            await asyncio.gather(*goodbyes)
        for task in list(self._tasks):
            task.cancel()

    async def on_packet(self, raw: bytes) -> bytes:
        """A member's packet; the answer's bytes. Raises BadRequest for what is dropped."""
        packet = self._gate.admit_request(raw, self._wall, self._now)
        if packet is None:
            raise BadRequest("this membership packet is not accepted")
        answer = self._swim.on_request(packet.sender, self._fresh(packet), self._now)
        if isinstance(answer, Relay):
            answer = await self._help(packet.sender, answer.send)
        self._woken.set()
        return self._sealed(self._addressed(packet.sender, answer, answers=packet.number))

    async def _help(self, asker: Address, send: Send) -> Draft:
        found = await self._exchange(send)
        is_answered = found is not None and found.kind is Kind.ACK
        return self._swim.relayed(asker, send.to, found if is_answered else None, self._now)

    async def _run(self) -> None:
        while True:
            self._renew_bid()
            self._send(self._swim.tick(self._now))
            self._woken.clear()
            due = max(min(self._swim.due_at(), self._next_bid), self._now + 0.001)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(due - self._now):
                    await self._woken.wait()
            late = self._now - due
            if late > STALL_SECONDS:
                log.debug("this process stood still for %.1f s", late)
                self._swim.forgive(late)

    def _renew_bid(self) -> None:
        if self._now < self._next_bid:
            return
        self._next_bid = self._now + BID_SECONDS
        rows = tuple(self._standing_rows())[:MAX_MODELS]
        bid = Bid(self._parts.me, ZERO32, self._next_number(), self._wall, rows)
        self._swim.set_bid(SignedBid(bid, self._notary.sign(bid)) if rows else None)

    def _send(self, sends: Sequence[Send]) -> None:
        for send in sends:
            task = asyncio.create_task(self._deliver(send))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, send: Send) -> None:
        answer = await self._exchange(send)
        now = self._now
        more = self._swim.on_failure(send, now) if answer is None else self._swim.on_reply(send, answer, now)
        self._send(more)
        self._woken.set()

    async def _exchange(self, send: Send) -> Draft | None:
        """One packet to a member and its checked answer; None when there is none."""
        member = self.member(send.to)
        if member is None or send.seconds <= 0:
            return None
        request = self._addressed(send.to, send.draft)
        limits = Limits(max_bytes=MAX_PAGE_BYTES, seconds=send.seconds)
        try:
            raw = await self._parts.peers.post_packet(member, self._sealed(request), limits)
        except PeerFailed as exc:
            log.debug("0x%s: %s", send.to.hex(), exc.message)
            return None
        packet = self._gate.admit_answer(raw, request, self._wall)
        return None if packet is None else self._fresh(packet)

    # Packets

    def _fresh(self, packet: Packet) -> Draft:
        return replace(packet.draft, bids=self._gate.fresh_bids(packet, self._wall))

    def _addressed(self, receiver: Address, draft: Draft, answers: Micros = NO_REQUEST) -> Packet:
        return Packet(self._parts.me, receiver, self._next_number(), answers, draft)

    def _sealed(self, packet: Packet) -> bytes:
        contents = encode(packet)
        digest = self._parts.domain.digest(struct_hash_of(packet.sender, packet.receiver, contents))
        return contents + self._parts.signer.sign(digest)

    def _next_number(self) -> Micros:
        self._number = Micros(max(self._number + 1, self._wall))
        return self._number

    def _operator_of(self, payee: Address) -> Address | None:
        found = self._registered.get(payee)
        return None if found is None else found.operator

    @property
    def _now(self) -> float:
        return self._parts.clock.monotonic()

    @property
    def _wall(self) -> Micros:
        return Micros(int(self._parts.clock.now() * 1e6))
