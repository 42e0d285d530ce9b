"""The Ledger port in memory: the same transitions of core.account, no disk.

`is_down` makes every write LedgerUnavailable. Tests say with `allot`, `authorize` and `set_generation` what the chain
would have said.
"""

from collections.abc import Sequence
from dataclasses import replace

from node.core import account
from node.core.account import Admission, LaneState, Outcome, PairState
from node.core.errors import Broken, CoverTooLow, LaneFrozen, LedgerUnavailable, StaleGeneration, WrongSignature
from node.core.messages import Receipt, Voucher
from node.core.types import U128_MAX, Address, Amount, Bytes32, LaneKey, Micros, Seconds, Signature
from node.ports.basics import Clock
from node.ports.ledger import Stored


class MemoryLedger:
    """One payee's books. Payees begin in generation 1, as on chain."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pairs: dict[tuple[Address, Address], PairState] = {}
        self._lanes: dict[LaneKey, LaneState] = {}
        self._signers: dict[Address, tuple[Address, Amount]] = {}
        self._generations: dict[Address, int] = {}
        self._requests: dict[tuple[Address, Address, Bytes32], Stored] = {}
        self._leases: dict[int, float] = {}
        self.is_down = False

    def allot(self, payer: Address, payee: Address, cover: int) -> None:
        """The chain covers this pair up to `cover` in all."""
        pair = self._pairs.get((payer, payee), PairState(payer, payee))
        self._pairs[payer, payee] = replace(pair, cover=Amount(cover))
        self._generations.setdefault(payee, 1)

    def authorize(self, signer: Address, payer: Address, cap: int) -> None:
        """A further signer of a payer."""
        self._signers[signer] = (payer, Amount(cap))

    def set_generation(self, payee: Address, generation: int) -> None:
        """The payee's present generation."""
        self._generations[payee] = generation

    async def admit(self, admission: Admission) -> Stored | None:
        self._check_up()
        if self._clock.now() >= self._leases.get(admission.lease, 0):
            raise LedgerUnavailable("this worker's lease has expired: it takes no new work")
        key = admission.key
        request = (key.payer, key.lane, admission.request_id)
        if request in self._requests:
            return self._requests[request]
        lane, pair = self._lane(key), self._pairs.get(key.pair)
        if pair is None:
            raise CoverTooLow("the payer has allotted nothing to this payee", cover=0, cover_left=0)
        self._lanes[key], self._pairs[key.pair] = account.admit(lane, pair, admission)
        self._requests[request] = Stored(admission)
        return None

    def _lane(self, key: LaneKey) -> LaneState:
        generation = self._generations.get(key.payee, 0)
        if key.generation != generation:
            raise StaleGeneration("the payee's generation has changed: sign anew", generation=generation)
        cap = Amount(U128_MAX)
        if key.lane != key.payer:
            payer, cap = self._signers.get(key.lane, (None, cap))
            if payer != key.payer:
                raise WrongSignature("the signer is unknown, thawing or another payer's")
        if key in self._lanes:
            return self._lanes[key]
        before = [lane.charged for other, lane in self._lanes.items() if replace(other, generation=0) == _lifelong(key)]
        if before or key.generation > 1:
            charged = max(before, default=0)
            raise LaneFrozen("this lane must be resynchronised first: send your last receipt", charged=charged)
        return LaneState(key, cap=cap)

    async def close(self, admission: Admission, outcome: Outcome, now: Micros) -> Receipt:
        self._check_up()
        key = admission.key
        request = (key.payer, key.lane, admission.request_id)
        known = self._requests.get(request)
        if known is None:
            raise Broken("a request that was never admitted cannot be closed")
        if known.receipt is not None:
            return known.receipt
        closed = account.close(self._lanes[key], self._pairs[key.pair], admission, outcome, now)
        self._lanes[key], self._pairs[key.pair], receipt = closed
        self._requests[request] = Stored(admission, receipt)
        return receipt

    async def keep_signature(self, receipt: Receipt, signature: Signature) -> None:
        request = (receipt.payer, receipt.lane, receipt.request_id)
        if request in self._requests and self._requests[request].signature is None:
            self._requests[request] = replace(self._requests[request], signature=signature)

    async def load_request(self, payer: Address, lane: Address, request_id: Bytes32) -> Stored | None:
        return self._requests.get((payer, lane, request_id))

    async def load_lane(self, key: LaneKey) -> LaneState | None:
        return self._lanes.get(key)

    async def load_best_voucher(self, key: LaneKey) -> tuple[Voucher, Signature] | None:
        own = [stored.admission for stored in self._requests.values() if stored.admission.key == key]
        best = max(own, key=lambda admission: admission.voucher.ceiling, default=None)
        return None if best is None else (best.voucher, best.signature)

    async def load_pair(self, payer: Address, payee: Address) -> PairState | None:
        return self._pairs.get((payer, payee))

    async def load_receipts(self, key: LaneKey, after: Micros, limit: int) -> Sequence[Stored]:
        done = [stored for stored in self._requests.values() if stored.receipt and stored.receipt.key == key]
        later = [stored for stored in done if stored.receipt and stored.receipt.seq > after]
        return sorted(later, key=lambda stored: stored.receipt.seq if stored.receipt else 0)[:limit]

    async def load_receipts_from(self, key: LaneKey, index: int, limit: int) -> Sequence[Stored]:
        return (await self.load_receipts(key, Micros(-1), index + limit))[index:]

    async def load_abandoned(self) -> Sequence[Admission]:
        now = self._clock.now()
        still_open = [stored.admission for stored in self._requests.values() if stored.receipt is None]
        return [admission for admission in still_open if self._leases.get(admission.lease, 0) <= now]

    async def take_lease(self, seconds: Seconds) -> int:
        self._check_up()
        lease = len(self._leases) + 1
        self._leases[lease] = self._clock.now() + seconds
        return lease

    async def renew_lease(self, lease: int, seconds: Seconds) -> bool:
        self._check_up()
        if self._leases.get(lease, 0) <= self._clock.now():
            return False
        self._leases[lease] = self._clock.now() + seconds
        return True

    def _check_up(self) -> None:
        if self.is_down:
            raise LedgerUnavailable("no durable write is possible now; nothing was served or charged")


def _lifelong(key: LaneKey) -> LaneKey:
    return replace(key, generation=0)
