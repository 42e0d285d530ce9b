"""Which packets are let in: size, form, receiver, sender, freshness, signature, in this order, cheapest first.

Everything dropped is counted by its reason. A packet that was let in may still carry rumours that are not believed.
"""

from collections.abc import Callable

from node.core.bids import SignedBid
from node.core.errors import BadRequest
from node.core.hashing import Domain
from node.core.membership.beliefs import Allowance
from node.core.membership.packets import MAX_PAGE_BYTES, MAX_REQUEST_BYTES, REQUESTS, Packet, decode, struct_hash_of
from node.core.membership.tally import Dropped, Tally
from node.core.types import Address, Bytes32, Micros, Signature

TOLERANCE = 15 * 60 * 1_000_000
"""Microseconds two honest clocks may differ. What is older is a replay for somebody who has just started."""
WINDOW = 64
"""Packet numbers remembered of each sender: they arrive out of order, never twice."""
PACKETS_PER_SECOND = 40.0
PACKET_BURST = 120.0
"""One member may send so many: at most 30 pushes and 20 probes and answers a second are ours."""

OperatorOf = Callable[[Address], Address | None]
Recover = Callable[[Bytes32, Signature], Address | None]


class _Seen:
    """The newest packet numbers of one sender."""

    __slots__ = ("_numbers", "_oldest")

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        self._oldest = 0

    def has(self, number: int) -> bool:
        return number in self._numbers or number < self._oldest

    def add(self, number: int) -> None:
        self._numbers.add(number)
        if len(self._numbers) > WINDOW:
            self._oldest = min(self._numbers)
            self._numbers.discard(self._oldest)
            self._oldest += 1


class Gate:
    """One node's checks. `operator_of` is the registry's word; `recover` gives None for a signature that is none."""

    def __init__(self, me: Address, domain: Domain, operator_of: OperatorOf, recover: Recover, tally: Tally) -> None:
        self._me = me
        self._domain = domain
        self._operator_of = operator_of
        self._recover = recover
        self._tally = tally
        self._seen: dict[Address, _Seen] = {}
        self._packets = Allowance(PACKETS_PER_SECOND, PACKET_BURST)

    def forget(self, keep: Callable[[Address], bool]) -> None:
        """Drop the memory of those who are no members any more."""
        for sender in [sender for sender in self._seen if not keep(sender)]:
            del self._seen[sender]
            self._packets.forget(sender)

    def admit_request(self, raw: bytes, wall: Micros, now: float) -> Packet | None:
        """A packet that somebody sent us; None when it is dropped. `now` is monotonic seconds."""
        if len(raw) > MAX_REQUEST_BYTES:
            return self._drop(Dropped.OVERSIZED)
        packet = self._genuine(raw, wall)
        if packet is None:
            return None
        if packet.draft.kind not in REQUESTS or packet.answers:
            return self._drop(Dropped.MALFORMED)
        if not self._packets.take(packet.sender, now):
            return self._drop(Dropped.FLOODED)
        self._seen.setdefault(packet.sender, _Seen()).add(packet.number)
        return packet

    def admit_answer(self, raw: bytes, request: Packet, wall: Micros) -> Packet | None:
        """The answer to a packet of ours: from its receiver, to exactly this one."""
        if len(raw) > MAX_PAGE_BYTES:
            return self._drop(Dropped.OVERSIZED)
        packet = self._genuine(raw, wall)
        if packet is None:
            return None
        if packet.sender != request.receiver or packet.answers != request.number:
            return self._drop(Dropped.REPLAYED)
        return self._drop(Dropped.MALFORMED) if packet.draft.kind in REQUESTS else packet

    def fresh_bids(self, packet: Packet, wall: Micros) -> tuple[SignedBid, ...]:
        """The packet's bids less those of another time."""
        bids = packet.draft.bids
        fresh = tuple(signed for signed in bids if abs(wall - signed.bid.issued_at) <= TOLERANCE)
        if len(fresh) < len(bids):
            self._tally.dropped[Dropped.BID_STALE] += len(bids) - len(fresh)
        return fresh

    def _genuine(self, raw: bytes, wall: Micros) -> Packet | None:
        try:
            packet, contents, signature = decode(raw)
        except BadRequest:
            return self._drop(Dropped.MALFORMED)
        operator = self._operator_of(packet.sender)
        seen = self._seen.get(packet.sender)
        if packet.receiver != self._me or packet.sender == self._me:
            return self._drop(Dropped.MISADDRESSED)
        if operator is None:
            return self._drop(Dropped.UNKNOWN_SENDER)
        if abs(wall - packet.number) > TOLERANCE:
            return self._drop(Dropped.STALE)
        if not packet.answers and seen is not None and seen.has(packet.number):
            return self._drop(Dropped.REPLAYED)
        digest = self._domain.digest(struct_hash_of(packet.sender, packet.receiver, contents))
        return packet if self._recover(digest, signature) == operator else self._drop(Dropped.FORGED)

    def _drop(self, why: Dropped) -> Packet | None:
        self._tally.dropped[why] += 1
        return None
