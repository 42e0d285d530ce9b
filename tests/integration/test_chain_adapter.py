"""The chain adapter on a real anvil: blocks, events, simulation, custom errors, sending, fail-over, wrong chain."""

import socket

import pytest

from node.adapters.chain.abi import load_artifact
from node.adapters.chain.creating import check_code
from node.adapters.chain.evm import connect
from node.adapters.chain.views import Views
from node.adapters.clock import SystemClock
from node.adapters.keys import LocalSigner, Secret
from node.core.errors import BadConfig, CallReverted, ChainUnavailable, TxRefused
from node.core.transactions import Call, TxFields
from node.core.types import Seconds
from tests.integration.chain_fixtures import OPERATOR, PAYER, Market, anvil, market, running_anvil

__all__ = ["anvil", "market"]
MONOTONIC = SystemClock().monotonic


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


async def test_fetch_events__allotment_and_operator__come_as_facts(market: Market) -> None:
    await market.set_operator()
    await market.prepay(5_000_000)
    head = await market.chain.fetch_head()
    (event,) = await market.chain.fetch_events(head)
    assert (event.name, event.contract, event.number("allotted")) == ("Allotted", "escrow", 5_000_000)
    assert (event.address("payer"), event.address("payee")) == (PAYER.address, market.payee.address)
    assert (event.block_number, event.block_hash) == (head.number, head.hash)


async def test_fetch_final_events__range__equals_the_blocks_one_by_one(market: Market) -> None:
    await market.set_operator()
    await market.prepay(5_000_000)
    market.anvil.mine(10)
    final = (await market.chain.fetch_finalised()).number
    together = await market.chain.fetch_final_events(1, final)
    singly = [
        e for n in range(1, final + 1) for e in await market.chain.fetch_events(await market.chain.fetch_block(n))
    ]
    assert list(together) == singly
    assert {event.name for event in singly} == {"OperatorSet", "Deposited", "Allotted"}


async def test_fetch_finalised__two_slots_an_epoch__is_four_below_the_head(market: Market) -> None:
    market.anvil.mine(10)
    head, final = await market.chain.fetch_head(), await market.chain.fetch_finalised()
    assert head.number - final.number == 4


async def test_fetch_block__not_there_yet__is_unavailable(market: Market) -> None:
    with pytest.raises(ChainUnavailable):
        await market.chain.fetch_block(10**6)


async def test_simulate__contract_refuses__names_the_custom_error_with_its_values(market: Market) -> None:
    data = market.chain.escrow.encode_call("allot", (market.payee.address,), (7,))
    with pytest.raises(CallReverted) as caught:
        await market.chain.simulate(Call(market.deployment.escrow, data), PAYER.address)
    assert caught.value.facts == {"asked": 7, "available": 0, "error": "Escrow_Overdraw"}


async def test_simulate__token_refuses__names_the_tokens_error(market: Market) -> None:
    data = market.chain.escrow.encode_call("deposit", 7)
    with pytest.raises(CallReverted) as caught:
        await market.chain.simulate(Call(market.deployment.escrow, data), PAYER.address)
    assert caught.value.facts["error"] == "ERC20InsufficientAllowance"


async def test_simulate__empty_claim_batch__is_useless(market: Market) -> None:
    simulation = await market.chain.simulate(market.chain.claim_call([]), OPERATOR.address)
    assert simulation.is_useless
    assert simulation.gas > 21_000


async def send_noop(market: Market, signer: LocalSigner, nonce: int) -> bytes:
    fees = await market.chain.fetch_fees()
    call = Call(market.deployment.currency, b"")
    data = call.data or bytes.fromhex("095ea7b3") + bytes(12) + market.deployment.escrow + bytes(32)
    fields = TxFields(nonce, 100_000, 2 * fees.base_fee + fees.tip, fees.tip, Call(call.to, data))
    attempt = market.chain.sign_tx(fields, signer, Seconds(0))
    await market.chain.send_raw(attempt.raw)
    receipt = await market.chain.fetch_tx(attempt.tx_hash)
    assert receipt is not None
    assert receipt.is_success
    return attempt.raw


async def test_send_raw__own_signature__is_mined_under_the_hash_we_computed(market: Market) -> None:
    raw = await send_noop(market, OPERATOR, 0)
    assert await market.chain.fetch_nonce(OPERATOR.address) == 1
    with pytest.raises(TxRefused, match=r"nonce too low|already"):
        await market.chain.send_raw(raw)


async def test_send_raw__no_coin_for_gas__is_refused(market: Market) -> None:
    pauper = LocalSigner(Secret(b"\x55" * 32))
    with pytest.raises(TxRefused, match=r"(?i)insufficient funds"):
        await send_noop(market, pauper, 0)


async def test_fetch_tx__unknown_hash__is_none(market: Market) -> None:
    assert await market.chain.fetch_tx(b"\x01" * 32) is None


async def test_views__check_set__finds_our_build_and_our_wiring(market: Market) -> None:
    views = Views(market.chain, await market.chain.fetch_head())
    await views.check_set()
    code = await views.code(market.deployment.escrow)
    with pytest.raises(BadConfig, match="not this package's"):
        check_code("Registry", code)
    changed = bytearray(code)
    changed[300] ^= 1  # before the first immutable
    with pytest.raises(BadConfig, match="not this package's"):
        check_code("Escrow", bytes(changed))
    with pytest.raises(BadConfig, match="no contract"):
        check_code("Escrow", b"")


async def test_connect__first_endpoint_dead__the_second_answers(market: Market) -> None:
    chain = connect(market.deployment, [closed_port(), market.anvil.url], MONOTONIC)
    try:
        assert (await chain.fetch_head()).number > 0
        down, up = chain.status()
        assert (down.is_up, up.is_up) == (False, True)
        assert "unreachable" in down.reason
    finally:
        await chain.close()


async def test_connect__every_endpoint_dead__is_unavailable_and_shows_no_secret_path(market: Market) -> None:
    chain = connect(market.deployment, [closed_port() + "/v3/SECRETKEY"], MONOTONIC)
    try:
        with pytest.raises(ChainUnavailable) as caught:
            await chain.fetch_head()
        assert "SECRETKEY" not in str(caught.value)
    finally:
        await chain.close()


async def test_connect__endpoint_of_another_chain__is_refused_by_name(market: Market) -> None:
    with running_anvil("--chain-id", "31338") as other:
        chain = connect(market.deployment, [other.url], MONOTONIC)
        try:
            with pytest.raises(BadConfig, match="on chain 31338, expected 31337"):
                await chain.fetch_head()
        finally:
            await chain.close()


async def test_connect__one_endpoint_of_another_chain__never_counts(market: Market) -> None:
    with running_anvil("--chain-id", "31338") as other:
        chain = connect(market.deployment, [other.url, market.anvil.url], MONOTONIC)
        try:
            assert await chain.fetch_head() == await market.chain.fetch_head()
            assert "chain 31338" in chain.status()[0].reason
        finally:
            await chain.close()


async def test_fetch_head__two_endpoints_on_different_forks__is_unavailable(market: Market) -> None:
    with running_anvil() as fork:
        fork.rpc("evm_setNextBlockTimestamp", hex(2_000_000_000))
        fork.mine((await market.chain.fetch_head()).number)
        chain = connect(market.deployment, [market.anvil.url, fork.url], MONOTONIC)
        try:
            with pytest.raises(ChainUnavailable, match="different forks"):
                await chain.fetch_head()
        finally:
            await chain.close()


async def test_fetch_head__one_endpoint_far_behind__is_left_alone(market: Market) -> None:
    market.anvil.mine(8)
    market.anvil.rpc("evm_increaseTime", "0xe10")
    market.anvil.mine(1)
    with running_anvil() as young:
        chain = connect(market.deployment, [young.url, market.anvil.url], MONOTONIC)
        try:
            assert (await chain.fetch_head()).number == (await market.chain.fetch_head()).number
            assert "behind" in chain.status()[0].reason
        finally:
            await chain.close()


@pytest.mark.parametrize("urls", [[], ["ftp://x"], ["http://"], ["http://x:99999"], ["nonsense"]])
def test_connect__not_an_rpc_url__is_refused(urls: list[str]) -> None:
    with pytest.raises(BadConfig):
        connect(None, urls, MONOTONIC)  # type: ignore[arg-type]


def test_load_artifact__unknown_name__is_refused() -> None:
    with pytest.raises(BadConfig):
        load_artifact("Nothing")
