"""A chain in memory: blocks, our events, a mempool, reorganisations, and endpoints that fail the way a test says."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.core.errors import CallReverted, ChainUnavailable, TxRefused
from node.core.facts import Block, ChainEvent
from node.core.hashing import keccak
from node.core.settlement import SignedClaim
from node.core.transactions import Attempt, Call, ClaimPreview, Fees, Simulation, TxFields, TxReceipt
from node.core.types import ZERO32, Address, Amount, Bytes32, Seconds
from node.ports.basics import Signer

BLOCK_SECONDS = 12
GENESIS_TIME = 1_800_000_000
FINALITY = 4


@dataclass
class ScriptedChain:
    """Blocks are appended with `mine`; `finality` blocks below the head are final."""

    finality: int = FINALITY
    fees: Fees = field(default_factory=lambda: Fees(base_fee=10**9, tip=10**8))
    previews: dict[Bytes32, ClaimPreview] = field(default_factory=dict)
    send_fault: str = ""
    """"refuse", "lose" (arrives, the reply does not) or "drop" (never arrives); one use each."""
    is_down: bool = False
    hides_receipts: bool = False
    simulation: Simulation | CallReverted = field(default_factory=lambda: Simulation(100_000, is_useless=False))
    blocks: list[Block] = field(default_factory=list)
    events: dict[Bytes32, tuple[ChainEvent, ...]] = field(default_factory=dict)
    mined: dict[Bytes32, TxReceipt] = field(default_factory=dict)
    mempool: dict[int, Attempt] = field(default_factory=dict)
    fields: dict[bytes, TxFields] = field(default_factory=dict)
    known: dict[bytes, Attempt] = field(default_factory=dict)
    sends: list[Attempt] = field(default_factory=list)
    salt: int = 0

    def __post_init__(self) -> None:
        self.blocks.append(Block(0, keccak(b"genesis"), ZERO32, Seconds(GENESIS_TIME)))

    # --- what a test does to it
    def mine(self, *events: ChainEvent, takes: int = 99) -> Block:
        """One block with these events (placed here) and up to `takes` mempool transactions in nonce order."""
        parent = self.blocks[-1]
        number = parent.number + 1
        block = Block(
            number,
            keccak(parent.hash + bytes((self.salt,))),
            parent.hash,
            Seconds(parent.timestamp + BLOCK_SECONDS),
        )
        self.blocks.append(block)
        placed = [
            ChainEvent(number, block.hash, index, keccak(block.hash + bytes((index,))), e.contract, e.name, e.args)
            for index, e in enumerate(events)
        ]
        self.events[block.hash] = tuple(placed)
        for _ in range(takes):
            attempt = self.mempool.pop(self.next_nonce(), None)
            if attempt is None:
                break
            self.mined[attempt.tx_hash] = TxReceipt(attempt.tx_hash, number, block.hash, 90_000, 10**9, is_success=True)
        return block

    def reorg(self, depth: int) -> None:
        """Drop the last blocks with everything in them; the next ones get other hashes."""
        dropped = {block.hash for block in self.blocks[-depth:]}
        del self.blocks[-depth:]
        self.salt += 1
        self.mined = {tx: receipt for tx, receipt in self.mined.items() if receipt.block_hash not in dropped}

    def next_nonce(self, below: int = 1 << 60) -> int:
        """Mined transactions up to block `below`."""
        return sum(receipt.block_number <= below for receipt in self.mined.values())

    # --- ports.Chain
    async def fetch_head(self) -> Block:
        self._check()
        return self.blocks[-1]

    async def fetch_finalised(self) -> Block:
        self._check()
        return self.blocks[max(0, len(self.blocks) - 1 - self.finality)]

    async def fetch_block(self, number: int) -> Block:
        self._check()
        if number >= len(self.blocks):
            raise ChainUnavailable("not seen yet")
        return self.blocks[number]

    async def fetch_events(self, block: Block) -> Sequence[ChainEvent]:
        self._check()
        return self.events.get(block.hash, ())

    async def fetch_final_events(self, first: int, last: int) -> Sequence[ChainEvent]:
        self._check()
        return [event for block in self.blocks[first : last + 1] for event in self.events.get(block.hash, ())]

    async def fetch_fees(self) -> Fees:
        self._check()
        return self.fees

    async def fetch_nonce(self, _address: Address) -> int:
        self._check()
        return self.next_nonce()

    async def fetch_final_nonce(self, _address: Address) -> int:
        self._check()
        return self.next_nonce((await self.fetch_finalised()).number)

    async def fetch_tx(self, tx_hash: Bytes32) -> TxReceipt | None:
        self._check()
        return None if self.hides_receipts else self.mined.get(tx_hash)

    async def simulate(self, _call: Call, _sender: Address) -> Simulation:
        self._check()
        if isinstance(self.simulation, CallReverted):
            raise self.simulation
        return self.simulation

    async def send_raw(self, raw: bytes) -> None:
        fault, self.send_fault = self.send_fault, ""
        if fault == "drop":
            raise ChainUnavailable("timed out")
        if fault == "refuse":
            raise TxRefused("the RPC endpoint refuses the transaction", reason="nope")
        attempt = self.known[raw]
        self.sends.append(attempt)
        if attempt.nonce < self.next_nonce():
            raise TxRefused("nonce too low")
        standing = self.mempool.get(attempt.nonce)
        if standing is not None and standing.raw != raw and attempt.max_fee * 10 < standing.max_fee * 11:
            raise TxRefused("replacement transaction underpriced")
        self.mempool[attempt.nonce] = attempt
        if fault == "lose":
            raise ChainUnavailable("timed out")

    def sign_tx(self, fields: TxFields, signer: Signer, now: Seconds) -> Attempt:
        raw = repr((fields, signer.address)).encode()
        attempt = Attempt(keccak(raw), fields.nonce, fields.max_fee, fields.tip, raw, now)
        self.known[raw] = attempt
        self.fields[raw] = fields
        return attempt

    def claim_call(self, claims: Sequence[SignedClaim]) -> Call:
        return Call(Address(b"\xee" * 20), b"".join(row.claim.struct_hash() for row in claims))

    async def preview_claims(self, claims: Sequence[SignedClaim]) -> Sequence[ClaimPreview]:
        self._check()
        paid = ClaimPreview("Paid", Amount(1))
        return [self.previews.get(row.claim.struct_hash(), paid) for row in claims]

    def _check(self) -> None:
        if self.is_down:
            raise ChainUnavailable("the chain is unreachable")
