"""INV11 from the events' side: what the folds make of the logs equals what the contracts say after random histories."""

import contextlib
import random

import pytest

from node.adapters.chain.views import Views
from node.adapters.keys import LocalSigner, Secret
from node.cli.session import Session
from node.core.errors import CallReverted
from node.core.facts import Kind
from node.core.folds import replay_pair, replay_payee, replay_provider, replay_signer
from node.core.messages import SignerConsent
from node.core.types import Amount, Bytes32, Seconds
from node.services.watch_chain import ChainWatch
from tests.fakes.chain_books import MemoryChainBook
from tests.integration.chain_fixtures import PAYER, STAKE, Market, anvil, market

__all__ = ["anvil", "market"]
SIGNER = LocalSigner(Secret(b"\x08" * 32))
ACTS = (
    "allot",
    "thaw",
    "cancel",
    "withdraw",
    "operator",
    "bump",
    "register",
    "stake",
    "unstake",
    "leave",
    "offer",
    "signer",
)
DAY = 86_400


async def act(market: Market, name: str, dice: random.Random) -> None:
    """One call; the contract may refuse it, which leaves no event."""
    payer = Session(market.chain, await market.payer_account(), is_quiet=True)
    payee = Session(market.chain, market.payee, is_quiet=True)
    address, amount = market.payee.address, dice.randint(1, 3) * 1_000_000
    match name:
        case "allot":
            await payer.escrow(name, "allot", (address,), (amount,))
        case "thaw":
            await payer.escrow(name, "requestThaw", (address,), (dice.choice((0, amount)),))
        case "cancel":
            await payer.escrow(name, "cancelThaw", (address,))
        case "withdraw":
            market.anvil.rpc("evm_increaseTime", DAY + 1)
            market.anvil.mine()
            await payer.escrow(name, "withdraw", (address,), PAYER.address)
            await fund(payer, 5_000_000)
        case "operator":
            await payee.escrow(name, "setOperator", dice.randbytes(20))
        case "bump":
            await payee.escrow(name, "bumpGeneration", address)
        case "signer":
            await signer_act(market, payer, dice)
        case _:
            await registry_act(payee, name, dice)


async def signer_act(market: Market, payer: Session, dice: random.Random) -> None:
    match dice.choice(("authorize", "raise", "thaw", "revoke")):
        case "authorize":
            deadline = Seconds(4_000_000_000)
            consent = SignerConsent(PAYER.address, Amount(1_000), deadline)
            raw = SIGNER.sign(market.deployment.domain.digest(consent.struct_hash()))
            s = int.from_bytes(raw[32:64], "big") | (raw[64] - 27) << 255
            compact = {"r": raw[:32], "vs": s.to_bytes(32, "big")}
            await payer.escrow("s", "authorizeSigner", SIGNER.address, 1_000, deadline, compact)
        case "raise":
            await payer.escrow("s", "raiseSignerCap", SIGNER.address, dice.randint(1_001, 9_999))
        case "thaw":
            await payer.escrow("s", "thawSigner", SIGNER.address)
        case "revoke":
            await payer.escrow("s", "revokeSigner", SIGNER.address)


async def registry_act(payee: Session, name: str, dice: random.Random) -> None:
    match name:
        case "register":
            await fund(payee, STAKE, where="registry")
            await payee.registry(name, "register", "https://a.example", dice.randbytes(32), STAKE)
        case "stake":
            await fund(payee, 1_000, where="registry")
            await payee.registry(name, "addStake", 1_000)
        case "unstake":
            await payee.registry(name, "requestUnstake", dice.randint(1, 9) * 1_000)
        case "leave":
            await payee.registry(name, "deregister")
        case "offer":
            await payee.registry(name, "setOffer", Bytes32(dice.randbytes(32)))


async def fund(session: Session, amount: int, where: str = "escrow") -> None:
    """Currency in hand and approved; for the escrow deposited, too."""
    spender = session.deployment.registry if where == "registry" else session.deployment.escrow
    await session.ensure_currency(amount, mints=True)
    await session.ensure_allowance(spender, amount, where)
    if where == "escrow":
        await session.escrow("deposit", "deposit", amount)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_folds__random_history__equal_the_contracts_own_views(market: Market, seed: int) -> None:
    dice = random.Random(seed)
    await fund(Session(market.chain, await market.payer_account(), is_quiet=True), 20_000_000)
    for _ in range(40):
        with contextlib.suppress(CallReverted):
            await act(market, dice.choice(ACTS), dice)
    book = MemoryChainBook()
    await ChainWatch(market.chain, book, market.deployment.deploy_block).poll()
    await check_equal(market, book)


async def check_equal(market: Market, book: MemoryChainBook) -> None:
    payee = market.payee.address
    views = Views(market.chain, await market.chain.fetch_head())
    pair, head = await views.pair(PAYER.address, payee), book.head
    events = book.history(Kind.PAIR, PAYER.address, payee)
    folded = replay_pair(events, finalised=head)
    assert (folded.cover, folded.thawing) == (pair.allotted - pair.thawing, pair.thawing)
    assert not pair.thawing or folded.thaw_end == pair.thaw_end
    lowest = replay_pair(events, finalised=book.finalised)
    assert lowest.cover <= folded.cover
    keys = await views.payee(payee)
    view = replay_payee(book.history(Kind.PAYEE, payee), finalised=head)
    assert (view.generation, view.operator) == (keys.generation, keys.operator)
    provider = await views.provider(payee)
    told = replay_provider(book.history(Kind.PROVIDER, payee))
    if told.provider == payee:
        assert (told.is_listed, told.stake, told.unbonding) == (provider.is_listed, provider.stake, provider.unbonding)
        assert not told.is_listed or (told.endpoint, told.offer_hash) == (provider.endpoint, provider.offer_hash)
    bound = replay_signer(book.history(Kind.SIGNER, SIGNER.address), finalised=head)
    assert bound.payer.rjust(20, b"\x00") == await views.signer_payer(SIGNER.address)
