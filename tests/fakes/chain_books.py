"""ChainBook, Outbox and SettlementBook in memory: what their protocols say and no more."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from node.core.errors import Broken
from node.core.facts import Block, ChainBatch, ChainEvent, Cursor, Kind, Subject, subject_of
from node.core.folds import (
    PairView,
    PayeeView,
    ProviderView,
    replay_lane,
    replay_pair,
    replay_payee,
    replay_provider,
    replay_signer,
)
from node.core.messages import Receipt
from node.core.settlement import DueLane, SignedClaim
from node.core.transactions import Attempt, OutboxRow, TxReceipt, TxState, Wish
from node.core.types import Address, Amount, LaneKey, Micros
from node.core.voucher import Standing

OPEN = {TxState.WANTED, TxState.SENT, TxState.UNKNOWN, TxState.MINED}


@dataclass
class MemoryChainBook:
    """Keeps every block and event; derives what is asked when it is asked."""

    blocks: dict[int, Block] = field(default_factory=dict)
    events: list[ChainEvent] = field(default_factory=list)
    head: int = -1
    finalised: int = 0

    async def load_cursor(self) -> Cursor | None:
        return None if self.head < 0 else Cursor(self.blocks[self.head], self.finalised)

    async def load_block(self, number: int) -> Block | None:
        return self.blocks.get(number)

    async def book(self, batch: ChainBatch) -> None:
        new = [block for block in batch.blocks if block.number > self.head]
        if new and self.head >= 0 and new[0].number == self.head + 1 and new[0].parent != self.blocks[self.head].hash:
            raise Broken("the first new block is not the head's child")
        for event in batch.events:
            subject_of(event)
        known = {(event.block_hash, event.log_index) for event in self.events}
        self.events += [event for event in batch.events if (event.block_hash, event.log_index) not in known]
        self.blocks.update({block.number: block for block in new})
        self.head = max(self.head, batch.blocks[-1].number)
        self.finalised = max(self.finalised, batch.finalised)

    async def roll_back(self, number: int) -> None:
        if number < self.finalised:
            raise Broken("a finalised block is never rolled back")
        self.blocks = {n: block for n, block in self.blocks.items() if n <= number}
        self.events = [event for event in self.events if event.block_number <= number]
        self.head = number

    def history(self, kind: Kind, *addresses: bytes) -> list[ChainEvent]:
        subject = Subject(kind, b"".join(addresses))
        return [event for event in self.events if subject_of(event) == subject]

    def pair(self, payer: Address, payee: Address) -> PairView:
        return replay_pair(self.history(Kind.PAIR, payer, payee), self.finalised)

    def lane_claimed(self, payer: Address, payee: Address, lane: Address) -> Amount:
        return replay_lane(self.history(Kind.LANE, payer, payee, lane)).claimed

    async def load_standing(self, payee: Address, payer: Address, signer: Address) -> Standing:
        view = await self.load_payee(payee)
        bound = replay_signer(self.history(Kind.SIGNER, signer), self.finalised)
        owner = payer if signer == payer else (bound.payer if bound.is_live else Address(b""))
        return Standing(payee, view.generation, owner, self.pair(payer, payee).cover)

    async def load_payee(self, payee: Address) -> PayeeView:
        return replay_payee(self.history(Kind.PAYEE, payee), self.finalised)

    async def load_providers(self) -> Sequence[ProviderView]:
        final = [e for e in self.events if e.block_number <= self.finalised and subject_of(e).kind is Kind.PROVIDER]
        keys = dict.fromkeys(subject_of(event).key for event in final)
        views = [replay_provider([event for event in final if subject_of(event).key == key]) for key in keys]
        return [view for view in views if view.is_listed]


@dataclass
class MemoryOutbox:
    """Rows by id; `save_attempt` keeps one nonce for one row."""

    rows: dict[int, OutboxRow] = field(default_factory=dict)
    in_events: set[bytes] = field(default_factory=set)

    async def add(self, wish: Wish) -> int | None:
        if any(row.wish.key == wish.key and row.state in OPEN for row in self.rows.values()):
            return None
        row_id = len(self.rows) + 1
        self.rows[row_id] = OutboxRow(row_id, wish, TxState.WANTED, 0, ())
        return row_id

    async def load_open(self, sender: Address) -> Sequence[OutboxRow]:
        return [row for row in self.rows.values() if row.wish.sender == sender and row.state in OPEN]

    async def load_row(self, row_id: int) -> OutboxRow | None:
        return self.rows.get(row_id)

    async def has_events(self, row: OutboxRow) -> bool:
        return any(attempt.tx_hash in self.in_events for attempt in row.attempts)

    async def save_attempt(self, row: OutboxRow, attempt: Attempt) -> bool:
        taken = {a.nonce: other.id for other in self.rows.values() for a in other.attempts}
        if self.rows[row.id].version != row.version or taken.get(attempt.nonce, row.id) != row.id:
            return False
        attempts = (*row.attempts, attempt)
        self.rows[row.id] = replace(row, state=TxState.SENT, version=row.version + 1, attempts=attempts)
        return True

    async def save_state(
        self,
        row: OutboxRow,
        state: TxState,
        *,
        receipt: TxReceipt | None = None,
        reason: str = "",
    ) -> bool:
        if self.rows[row.id].version != row.version:
            return False
        self.rows[row.id] = replace(row, state=state, version=row.version + 1, receipt=receipt, reason=reason)
        return True


@dataclass
class MemorySettlementBook:
    """Due lanes and receipts as the test sets them; claims as they are saved."""

    outbox: MemoryOutbox
    due: list[DueLane] = field(default_factory=list)
    receipts: dict[LaneKey, list[Receipt]] = field(default_factory=dict)
    claims: list[SignedClaim] = field(default_factory=list)
    carried: dict[bytes, int] = field(default_factory=dict)

    async def load_due(self, payee: Address, limit: int) -> Sequence[DueLane]:
        return [lane for lane in self.due if lane.key.payee == payee][:limit]

    async def load_last_claim(self, key: LaneKey) -> SignedClaim | None:
        of_lane = [row for row in self.claims if _key_of(row) == key]
        return of_lane[-1] if of_lane else None

    async def load_receipts_after(self, key: LaneKey, seq: Micros, limit: int) -> Sequence[Receipt]:
        return [receipt for receipt in self.receipts.get(key, []) if receipt.seq > seq][:limit]

    async def save_claims(self, claims: Sequence[SignedClaim], wish: Wish) -> int | None:
        hashes = [row.claim.struct_hash() for row in claims]
        if any(h in self.carried and self.outbox.rows[self.carried[h]].state in OPEN for h in hashes):
            return None
        row_id = await self.outbox.add(wish)
        if row_id is None:
            return None
        self.claims += [row for row in claims if row.claim.struct_hash() not in self.carried]
        self.carried.update(dict.fromkeys(hashes, row_id))
        return row_id


def _key_of(row: SignedClaim) -> LaneKey:
    return LaneKey(row.claim.payer, row.claim.payee, row.claim.lane, row.claim.generation)
