"""A watchtower: keeps the newest claim of each lane, and claims for the payee when a payer thaws and its node does not.

Whoever runs it can steal nothing (the escrow pays the payee alone) and learns totals, not prompts. A push is
authenticated by the claim's own signature: only the payee's operator can make one, only a lane its ceiling.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.core.errors import NotFound
from node.core.hashing import Domain
from node.core.pushes import HeldClaim, Recover, check_push, must_be_sent
from node.core.settlement import BATCH_ROWS, SignedClaim
from node.core.transactions import Wish
from node.core.types import ZERO_ADDRESS, Address, Seconds
from node.ports.chain import Chain, ChainBook
from node.ports.settling import Outbox
from node.ports.tower import TowerBook
from node.services.sender import Sender
from node.services.watch_chain import ChainWatch


@dataclass(frozen=True, slots=True)
class Watchtower:
    """`payees`: whom it serves; a claim for anybody else is refused, so its store is bounded by their lanes."""

    chain: Chain
    book: TowerBook
    chain_book: ChainBook
    watch: ChainWatch
    outbox: Outbox
    sender: Sender
    domain: Domain
    recover: Recover
    payees: frozenset[Address]
    thaw_seconds: Seconds

    async def take(self, claims: Sequence[SignedClaim]) -> int:
        """Check and keep; returns once they are durable. Raises NotFound, WrongSignature, BadVoucher."""
        for signed in claims:
            operator = await self._operator_of(signed)
            check_push(signed, operator, self.domain, self.recover)
        return await self.book.keep(claims)

    async def show(self, payee: Address) -> Sequence[SignedClaim]:
        """Everything held for a payee. Raises NotFound."""
        self._check_served(payee)
        return await self.book.load(payee)

    async def run(self) -> int:
        """One poll: follow the chain, want what is due, send. How many claims were wanted."""
        followed = await self.watch.poll()
        now = followed.cursor.head.timestamp  # thaws end by the chain's clock
        held = [one for one in await self.book.load_held() if must_be_sent(one, now, self.thaw_seconds)]
        wanted = 0
        for start in range(0, len(held), BATCH_ROWS):
            wanted += await self._want(held[start : start + BATCH_ROWS])
        await self.sender.run()
        return wanted

    async def _want(self, held: Sequence[HeldClaim]) -> int:
        previews = await self.chain.preview_claims([one.signed for one in held])
        paying = [one for one, preview in zip(held, previews, strict=True) if preview.is_paying]
        if not paying:
            return 0
        claims = [one.signed for one in paying]
        key = f"tower:{claims[0].claim.struct_hash().hex()}"
        deadline = min((one.deadline for one in paying if one.deadline), default=Seconds(0))
        call = self.chain.claim_call(claims)
        await self.outbox.add(Wish(key, "claim", self.sender.signer.address, call, deadline))
        return len(paying)

    async def _operator_of(self, signed: SignedClaim) -> Address:
        claim = signed.claim
        self._check_served(claim.payee)
        operator = (await self.chain_book.load_payee(claim.payee)).operator_of(claim.generation)
        if operator == ZERO_ADDRESS:
            raise NotFound("this tower knows no such generation of that payee (yet)")
        return operator

    def _check_served(self, payee: Address) -> None:
        if payee not in self.payees:
            raise NotFound("this tower does not serve that payee")
