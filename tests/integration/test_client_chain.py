"""What the client reads of a real chain, and its judgement of settlements."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from node.adapters.keys import recover
from node.cli.session import Session
from node.client.escrow import ChainReader, Rpc
from node.client.rows import Origin
from node.client.settlements import (
    FINE,
    GAP,
    OVERCLAIM,
    SettledReader,
    find_challenges,
    judge,
    load_settled,
    watch_once,
)
from node.client.store import Wallet, WalletWriter, open_engine
from node.client.wallet import GAP_PATIENCE, Limits, Purchase, is_gap_overdue
from node.core.errors import BadConfig, ChainUnavailable
from node.core.merkle import Peaks, leaf_hash
from node.core.messages import Claim
from node.core.settlement import SignedClaim
from node.core.transactions import Call
from node.core.types import ZERO32, Address, Amount, LaneKey, Micros, Seconds
from tests.factories import make_receipt, make_terms, make_voucher
from tests.fakes.payers import FakeClock
from tests.integration.chain_fixtures import OPERATOR, PAYER, Market, anvil, market

__all__ = ["anvil", "market"]
CEILING = 100_000


@pytest.fixture
def reader_of():
    opened: list[ChainReader] = []

    def make(market: Market, *urls: str) -> ChainReader:
        opened.append(ChainReader(market.deployment, Rpc(urls or (market.anvil.url,))))
        return opened[-1]

    yield make
    for reader in opened:
        reader.rpc.close()


PREFIX = b"\x5e" * 36
CUT = "6024360380602460003760006000826000600073{escrow}5af1"
"""A contract that hands its call data, without the first 36 bytes, on to the escrow."""
INVERT = "60005b3681101560155780351981526020016002565b60006000366000600073{escrow}5af1"
"""A contract that hands every word of its call data on inverted."""


def wrapped_call(market: Market, runtime: str, data: bytes) -> Call:
    """Call data for a contract of the payee's own, made here, that stands before the escrow."""
    body = bytes.fromhex(runtime.format(escrow=market.deployment.escrow.hex()))
    code = body + bytes.fromhex(f"60{len(body) + 8:02x}5760006000fd5b00")  # reverts when the escrow does
    init = bytes.fromhex(f"60{len(code):02x}80600b6000396000f3") + code
    tx = {"from": "0x" + market.payee.address.hex(), "data": "0x" + init.hex(), "gas": hex(500_000)}
    tx_hash = market.anvil.rpc("eth_sendTransaction", tx)
    market.anvil.mine(1)
    made = market.anvil.rpc("eth_getTransactionReceipt", tx_hash)["contractAddress"]
    return Call(Address(bytes.fromhex(made[2:])), data)


async def claimed(
    market: Market, cumulative: int, seq: int, wrap: Callable[[Market, Call], Call] = lambda _, call: call
) -> LaneKey:
    """A claim mined and finalised."""
    who = {"payer": PAYER.address, "payee": market.payee.address, "lane": PAYER.address, "generation": 1}
    receipt = make_receipt(**who, seq=Micros(seq), charge=Amount(cumulative), cumulative=Amount(cumulative))
    peaks = Peaks().append(leaf_hash(receipt.struct_hash()))
    claim = Claim(**who, seq=Micros(seq), cumulative=Amount(cumulative), receipts_root=peaks.root, count=1)
    voucher = replace(
        make_voucher(make_terms()),
        payer=PAYER.address,
        payee=market.payee.address,
        generation=1,
        ceiling=Amount(CEILING),
    )
    domain = market.deployment.domain
    signed = SignedClaim(
        claim,
        OPERATOR.sign(domain.digest(claim.struct_hash())),
        voucher,
        PAYER.sign(domain.digest(voucher.struct_hash())),
        peaks,
    )
    await market.send(market.payee, wrap(market, market.chain.claim_call([signed])))
    market.anvil.mine(5)
    return LaneKey(PAYER.address, market.payee.address, PAYER.address, 1)


@pytest.fixture
async def settled_market(market: Market) -> Market:
    await market.set_operator()
    await market.prepay(1_000_000)
    market.anvil.mine(5)
    return market


async def test_reader__finalised_facts__are_the_contracts(settled_market, reader_of):
    reader, payee = reader_of(settled_market), settled_market.payee.address
    reader.check_chain()
    facts = reader.read_payee(payee)
    assert (facts.operator, facts.generation) == (OPERATOR.address, 1)
    assert reader.read_operator(payee, 1) == OPERATOR.address
    assert reader.read_operator(payee, 2) == Address(bytes(20))
    assert reader.read_payee(Address(b"\x44" * 20)).generation == 0
    assert reader.read_pair(PAYER.address, payee).allotted == 1_000_000
    assert reader.read_listings(0, 10) is None
    assert facts.offers == frozenset()
    key = await claimed(settled_market, 700, await now_of(settled_market))
    assert reader.read_claimed(key) == 700


async def test_reader__offer_changed__both_count_until_the_new_one_is_final(settled_market, reader_of):
    market, reader = settled_market, reader_of(settled_market)
    old, new = b"\x0a" * 32, b"\x0b" * 32
    registry, stake = market.deployment.registry, 1_000_000_000
    session = Session(market.chain, market.payee, is_quiet=True)
    await session.ensure_currency(stake, mints=True)
    await session.ensure_allowance(registry, stake, "registry")
    await session.registry("register", "register", "https://x.example", old, stake)
    market.anvil.mine(5)
    assert reader.read_payee(market.payee.address).offers == {old}
    await session.registry("change the offer", "setOffer", new)
    assert reader.read_payee(market.payee.address).offers == {old, new}
    market.anvil.mine(5)
    assert reader.read_payee(market.payee.address).offers == {new}


async def now_of(market: Market) -> int:
    return (await market.chain.fetch_head()).timestamp * 1_000_000


async def test_reader__not_finalised_yet__is_not_believed(market, reader_of):
    with pytest.raises(ChainUnavailable, match="not there"):
        reader_of(market).read_payee(market.payee.address)
    market.anvil.mine(5)
    await market.set_operator()
    assert reader_of(market).read_payee(market.payee.address).generation == 0


async def test_reader__first_endpoint_dead__second_is_asked(settled_market, reader_of):
    reader = reader_of(settled_market, "http://127.0.0.1:9", settled_market.anvil.url)
    assert reader.read_payee(settled_market.payee.address).generation == 1
    with pytest.raises(ChainUnavailable, match="eth_call"):
        reader_of(settled_market, "http://127.0.0.1:9").read_payee(settled_market.payee.address)


async def test_reader__another_chain_or_no_contract__is_a_clear_error(settled_market, reader_of):
    rpc = reader_of(settled_market).rpc
    with pytest.raises(BadConfig, match="chain 31337, the deployment file on 1"):
        ChainReader(replace(settled_market.deployment, chain_id=1), rpc).check_chain()
    with pytest.raises(BadConfig, match="no escrow"):
        ChainReader(replace(settled_market.deployment, escrow=Address(b"\x01" * 20)), rpc).check_chain()


def buy(wallet: Wallet, key: LaneKey, cumulative: int, seq: int, charge: int) -> None:
    """A purchase with its receipt in the books."""
    terms = replace(make_terms(), request_id=bytes([len(wallet.run(lambda b: b.load_open())) + seq % 251]) * 32)
    terms = replace(terms, max_price=Amount(charge))
    purchase = Purchase(key, terms, ZERO32, 3, 0)
    limits = Limits(Amount(10**9), Amount(10**9), Amount(10**12))
    wallet.run(lambda b: b.begin(purchase, Origin("", "", ZERO32, "", Seconds(0)), limits))
    receipt = make_receipt(
        payer=key.payer,
        payee=key.payee,
        lane=key.lane,
        generation=1,
        seq=Micros(seq),
        request_id=terms.request_id,
        charge=Amount(charge),
        cumulative=Amount(cumulative),
    )
    signature = OPERATOR.sign(ZERO32)
    wallet.run(lambda b: b.book(purchase, receipt, signature, Amount(charge), Seconds(0)))


async def test_watch__honest_claim__is_fine_and_is_read_once(settled_market, tmp_path, reader_of):
    engine = open_engine(tmp_path / "w.db")
    wallet, writer = Wallet(engine), WalletWriter(engine)
    seq = await now_of(settled_market)
    key = LaneKey(PAYER.address, settled_market.payee.address, PAYER.address, 1)
    buy(wallet, key, 500, seq, 500)
    await claimed(settled_market, 500, seq)
    chain = reader_of(settled_market)
    reader, clock = SettledReader(chain, recover), FakeClock()
    for _ in range(2):
        await watch_once(PAYER.address, reader, chain, writer, clock)
    (row,) = wallet.run(lambda b: load_settled(b, FINE))
    assert (row.cumulative, row.paid, row.key) == (500, 500, key)
    assert not wallet.run(lambda b: b.load_findings())
    writer.close()


async def test_watch__claim_without_receipts__is_a_gap_that_grows_old(settled_market, tmp_path, reader_of):
    engine = open_engine(tmp_path / "w.db")
    wallet, writer, clock = Wallet(engine), WalletWriter(engine), FakeClock()
    key = await claimed(settled_market, 900, await now_of(settled_market))
    chain = reader_of(settled_market)
    await watch_once(PAYER.address, SettledReader(chain, recover), chain, writer, clock)
    purse = wallet.run(lambda b: b.load_purse(key))
    assert (purse.heard, purse.gap) == (900, 900)
    assert is_gap_overdue(purse, Seconds(int(clock.at) + GAP_PATIENCE))
    assert [row.cumulative for row in wallet.run(lambda b: load_settled(b, GAP))] == [900]
    writer.close()


async def test_watch__later_receipt_contradicts_an_earlier_claim__is_an_overclaim_with_its_proof(
    settled_market, tmp_path, reader_of
):
    engine = open_engine(tmp_path / "w.db")
    wallet, writer, clock = Wallet(engine), WalletWriter(engine), FakeClock()
    seq = await now_of(settled_market)
    key = await claimed(settled_market, 4_000, seq)
    chain = reader_of(settled_market)
    reader = SettledReader(chain, recover)
    await watch_once(PAYER.address, reader, chain, writer, clock)
    buy(wallet, key, 600, seq + 5, 600)  # the payee goes on serving with its true total
    await watch_once(PAYER.address, reader, chain, writer, clock)
    assert [f["code"] for f in wallet.run(lambda b: b.load_findings())] == ["overclaim"]
    assert wallet.run(lambda b: b.load_purse(key)).stopped == "overclaim"
    (challenge,) = await asyncio.to_thread(wallet.run, lambda b: find_challenges(b, reader))
    assert (challenge.claim.cumulative, challenge.shown.receipt.cumulative) == (4_000, 600)
    digest = settled_market.deployment.domain.digest(challenge.claim.struct_hash())
    assert challenge.claim_signature == OPERATOR.sign(digest)
    verdicts = wallet.run(lambda b: [judge(b, row, Seconds(0)) for row in load_settled(b, OVERCLAIM)])
    assert verdicts == [OVERCLAIM]
    writer.close()


def behind_a_prefix(market: Market, call: Call) -> Call:
    return wrapped_call(market, CUT, PREFIX + call.data)


def inverted(market: Market, call: Call) -> Call:
    return wrapped_call(market, INVERT, bytes(255 - byte for byte in call.data))


@pytest.mark.parametrize("wrap", [behind_a_prefix, inverted])
async def test_challenge__overclaimed_through_a_contract_of_the_payee__the_signature_is_found(
    settled_market, tmp_path, reader_of, wrap
):
    engine = open_engine(tmp_path / "w.db")
    wallet, writer, clock = Wallet(engine), WalletWriter(engine), FakeClock()
    seq = await now_of(settled_market)
    key = await claimed(settled_market, 4_000, seq, wrap)
    buy(wallet, key, 600, seq + 5, 600)
    chain = reader_of(settled_market)
    reader = SettledReader(chain, recover)
    await watch_once(PAYER.address, reader, chain, writer, clock)
    (challenge,) = await asyncio.to_thread(wallet.run, lambda b: find_challenges(b, reader))
    digest = settled_market.deployment.domain.digest(challenge.claim.struct_hash())
    assert challenge.claim_signature == OPERATOR.sign(digest)
    writer.close()


async def test_read_claim__transaction_without_that_claim__is_none(settled_market, reader_of):
    chain = reader_of(settled_market)
    reader = SettledReader(chain, recover)
    key = await claimed(settled_market, 4_000, await now_of(settled_market))
    (settled,) = reader.read(PAYER.address, 0, chain.finalised_block())
    other = Claim(key.payer, key.payee, key.lane, 1, settled.seq, Amount(5), settled.root, settled.count)
    assert reader.read_claim(settled.tx_hash, other) is None
    unknown = replace(other, receipts_root=ZERO32)
    assert reader.read_claim(settled.tx_hash, unknown) is None
