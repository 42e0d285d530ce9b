"""The one owner of an address's nonce: wanted -> sent -> mined -> confirmed, every step durable before it is taken.

At most one transaction is unmined at a time, so there is never a gap and never a doubt which nonce is next. What was
sent and not seen is unknown, never failed: its nonce stays its own until the chain says whose it was. A second sender
of the same address loses the race for the row's version and does nothing.
"""

import logging
from dataclasses import dataclass, field

from node.core.errors import CallReverted, ChainUnavailable, TxRefused
from node.core.fees import FeeOffer, FeePolicy, better_offer, cap_of, first_offer
from node.core.transactions import Attempt, Call, OutboxRow, TxFields, TxReceipt, TxState
from node.core.types import Bytes32, Seconds
from node.ports.basics import Clock, Signer
from node.ports.chain import Chain
from node.ports.settling import Outbox

GAS_MARGIN_NUMERATOR, GAS_MARGIN_DENOMINATOR = 5, 4
"""State may move between simulation and block, and a claim's row costs more when its lane is new."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backlog:
    """Open rows: those not in a block yet, and all that are not final."""

    unmined: int
    unconfirmed: int


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends the wishes of one address."""

    chain: Chain
    outbox: Outbox
    signer: Signer
    clock: Clock
    policy: FeePolicy = FeePolicy()
    _transmitted: set[Bytes32] = field(default_factory=set)
    """What this process handed to an endpoint; an earlier one may have died between saving and sending."""

    async def run(self) -> Backlog:
        """Move every open row as far as it goes now.

        Raises ChainUnavailable or LedgerUnavailable: call again later, nothing is lost.
        """
        finalised = (await self.chain.fetch_finalised()).number
        rows = await self.outbox.load_open(self.signer.address)
        self._transmitted.intersection_update(attempt.tx_hash for row in rows for attempt in row.attempts)
        is_free = True
        for row in sorted(rows, key=_order):
            if row.state is TxState.WANTED:
                is_free = is_free and await self._send_first(row)
                continue
            is_free = await self._follow(row, finalised) and is_free
        left = await self.outbox.load_open(self.signer.address)
        return Backlog(unmined=sum(row.state is not TxState.MINED for row in left), unconfirmed=len(left))

    # --- a row that was sent
    async def _follow(self, row: OutboxRow, finalised: int) -> bool:
        """Whether the row's nonce is used, so that the next one may be sent."""
        receipt = await self._find(row)
        if receipt is not None:
            await self._book_receipt(row, receipt, finalised)
            return True
        if row.state is TxState.MINED:  # a reorganisation dropped it; it is still signed and valid
            log.warning("transaction of outbox row %d was dropped by a reorganisation", row.id)
            await self.outbox.save_state(row, TxState.UNKNOWN, reason="dropped by a reorganisation")
            return False
        if await self._is_lost(row):
            if await self.outbox.has_events(row):  # an endpoint hides the receipt: confirmed when one is shown again
                log.warning("outbox row %d was mined by our books, and no endpoint shows its receipt", row.id)
                return True
            if self._now() - row.attempts[-1].sent_at < self.policy.patience_seconds:
                return True  # its events may be on their way into the books
            await self.outbox.save_state(row, TxState.REVERTED, reason="another transaction used its nonce")
            return True
        await self._push(row)
        return False

    async def _find(self, row: OutboxRow) -> TxReceipt | None:
        """The receipt of whichever attempt was mined: after a replacement it may be an earlier one."""
        for attempt in reversed(row.attempts):
            receipt = await self.chain.fetch_tx(attempt.tx_hash)
            if receipt is not None:
                return receipt
        return None

    async def _book_receipt(self, row: OutboxRow, receipt: TxReceipt, finalised: int) -> None:
        if receipt.block_number > finalised:
            if row.state is not TxState.MINED or row.receipt != receipt:
                await self.outbox.save_state(row, TxState.MINED, receipt=receipt)
            return
        reason = "" if receipt.is_success else "reverted on chain"
        if any(one.tx_hash == receipt.tx_hash and row.wish.is_over(one.sent_at) for one in row.attempts):
            reason = "its deadline had passed: an empty transaction used its nonce"
        state = TxState.REVERTED if reason else TxState.CONFIRMED
        await self.outbox.save_state(row, state, receipt=receipt, reason=reason)

    async def _is_lost(self, row: OutboxRow) -> bool:
        """Its nonce is used below the finalised block, and none of its attempts used it."""
        final_nonce = await self.chain.fetch_final_nonce(self.signer.address)
        return final_nonce > row.attempts[-1].nonce and await self._find(row) is None

    async def _push(self, row: OutboxRow) -> None:
        """Send again what may not have arrived; offer more for what waits too long."""
        last = row.attempts[-1]
        now = self._now()
        if row.wish.is_over(now) and not row.wish.is_over(last.sent_at):
            await self._withdraw(row, now)
            return
        is_stuck = now - last.sent_at >= self.policy.patience_seconds
        if row.state is TxState.SENT and not is_stuck and last.tx_hash in self._transmitted:
            return
        offer = await self._better_offer(row, now) if is_stuck else None
        if offer is None:
            await self._transmit(row, last)
            return
        if row.wish.is_over(now):
            await self._empty(row, offer, now)
            return
        simulation = await self._simulated(row)
        if simulation is None:
            await self._transmit(row, last)  # its nonce must be used up by something, and this is signed already
            return
        fields = TxFields(last.nonce, simulation, offer.max_fee, offer.tip, row.wish.call)
        await self._attempt(row, fields, now)

    async def _withdraw(self, row: OutboxRow, now: Seconds) -> None:
        """Its deadline has passed and it may still land: neither sent again nor bumped, but replaced by nothing.

        One step above the cap is allowed: its nonce must be used up, and by something else.
        """
        log.warning("outbox row %d: its deadline has passed and it is not in a block; its nonce is used up", row.id)
        cap = max(cap_of(self.policy, row.wish.deadline, now), 2 * row.attempts[-1].max_fee)
        offer = better_offer(row.attempts[-1], await self.chain.fetch_fees(), self.policy, cap)
        if offer is not None:
            await self._empty(row, offer, now)

    async def _empty(self, row: OutboxRow, offer: FeeOffer, now: Seconds) -> None:
        """A transaction to ourselves with the row's nonce. What was signed after an expiring deadline is one."""
        call = Call(self.signer.address, b"")
        gas = (await self.chain.simulate(call, self.signer.address)).gas
        gas = gas * GAS_MARGIN_NUMERATOR // GAS_MARGIN_DENOMINATOR
        await self._attempt(row, TxFields(row.attempts[-1].nonce, gas, offer.max_fee, offer.tip, call), now)

    async def _better_offer(self, row: OutboxRow, now: Seconds) -> FeeOffer | None:
        fees = await self.chain.fetch_fees()
        cap = cap_of(self.policy, row.wish.deadline, now)
        offer = better_offer(row.attempts[-1], fees, self.policy, cap)
        if offer is None:
            log.warning("outbox row %d waits: gas costs more than the cap of %d wei", row.id, cap)
        return offer

    # --- a row that is only wanted
    async def _send_first(self, row: OutboxRow) -> bool:
        """Simulate, then sign with the next nonce. True when nothing was sent, so that the next row may go."""
        now = self._now()
        if row.wish.is_over(now):
            log.warning("outbox row %d is not sent: its deadline has passed", row.id)
            await self.outbox.save_state(row, TxState.NEEDLESS, reason="its deadline has passed")
            return True
        gas = await self._simulated(row)
        if gas is None:
            return True
        fees = await self.chain.fetch_fees()
        offer = first_offer(fees, self.policy, cap_of(self.policy, row.wish.deadline, now))
        nonce = await self.chain.fetch_nonce(self.signer.address)
        await self._attempt(row, TxFields(nonce, gas, offer.max_fee, offer.tip, row.wish.call), now)
        return False

    async def _simulated(self, row: OutboxRow) -> int | None:
        """The gas limit; None when the call would fail or do nothing (a row never sent is closed then)."""
        is_sent = bool(row.attempts)
        try:
            simulation = await self.chain.simulate(row.wish.call, row.wish.sender)
        except CallReverted as exc:
            log.warning("outbox row %d would revert: %s", row.id, exc.message)
            if not is_sent:
                await self.outbox.save_state(row, TxState.REVERTED, reason=exc.message)
            return None
        if simulation.is_useless:
            if not is_sent:
                await self.outbox.save_state(row, TxState.NEEDLESS, reason="it would change nothing")
            return None
        return simulation.gas * GAS_MARGIN_NUMERATOR // GAS_MARGIN_DENOMINATOR

    # --- sending
    async def _attempt(self, row: OutboxRow, fields: TxFields, now: Seconds) -> None:
        attempt = self.chain.sign_tx(fields, self.signer, now)
        if not await self.outbox.save_attempt(row, attempt):
            return  # another sender was faster: it has the row or the nonce
        saved = await self.outbox.load_row(row.id)
        if saved is not None:
            await self._transmit(saved, attempt)

    async def _transmit(self, row: OutboxRow, attempt: Attempt) -> None:
        """Send one signed attempt; note what came of it."""
        self._transmitted.add(attempt.tx_hash)
        try:
            await self.chain.send_raw(attempt.raw)
        except TxRefused as exc:
            log.warning("outbox row %d: %s", row.id, exc.message)
            await self.outbox.save_state(row, TxState.SENT, reason=exc.message)
            return
        except ChainUnavailable as exc:
            await self.outbox.save_state(row, TxState.UNKNOWN, reason=exc.message)
            raise
        if row.state is TxState.UNKNOWN:
            await self.outbox.save_state(row, TxState.SENT)

    def _now(self) -> Seconds:
        return Seconds(int(self.clock.now()))


def _order(row: OutboxRow) -> tuple[bool, int, Seconds, int]:
    """Sent rows by nonce, then wanted ones: those with the nearest deadline first."""
    nonce = row.attempts[-1].nonce if row.attempts else 0
    deadline = row.wish.deadline or Seconds(1 << 62)
    return (row.state is TxState.WANTED, nonce, deadline, row.id)
