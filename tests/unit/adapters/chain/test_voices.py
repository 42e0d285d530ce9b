"""Two endpoints asked about money of ours: what one of them alone says decides nothing (threat I3). No network."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from eth_abi.abi import encode

from node.adapters.chain.duelling import EvmDuels
from node.adapters.chain.endpoint import Health, RpcError
from node.adapters.chain.evm import MOST_GAS, STATUS_NAMES, EvmChain
from node.adapters.chain.pool import Pool
from node.core.errors import CallReverted, ChainUnavailable
from node.core.merkle import Peaks
from node.core.messages import Claim
from node.core.settlement import SignedClaim
from node.core.transactions import Call
from node.core.types import ZERO32, Address, Amount, Bytes32, Micros, Signature
from node.deployment import Deployment
from node.ports.duels import SeedOnChain
from tests.factories import PAYEE, PAYER, make_voucher

ESCROW = Address(b"\xee" * 20)
ROW = SignedClaim(
    Claim(PAYER, PAYEE, PAYER, 1, Micros(9), Amount(70), ZERO32, 2),
    Signature(b"\x01" * 64 + b"\x1b"),
    make_voucher(ceiling=Amount(80), generation=1),
    Signature(b"\x02" * 64 + b"\x1c"),
    Peaks(),
)


@dataclass
class FakeEndpoint:
    """Answers by method; an exception is raised."""

    name: str
    answers: dict[str, Any]
    health: Health = field(default_factory=lambda: Health(is_chain_checked=True))

    async def call(self, method: str, *_params: object) -> Any:
        answer = self.answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def mark_up(self) -> None:
        """Always well."""


def chain_of(*endpoints: dict[str, Any]) -> EvmChain:
    fakes = [FakeEndpoint(f"http://{number}", answers) for number, answers in enumerate(endpoints)]
    deployment = Deployment(
        chain_id=31337,
        escrow=ESCROW,
        registry=Address(b"\xdd" * 20),
        duels=None,
        currency=Address(b"\xcc" * 20),
        currency_symbol="DEV",
        currency_decimals=6,
        deploy_block=1,
        block_hash=Bytes32(ZERO32),
        thaw_seconds=86_400,
        artifacts_hash=Bytes32(ZERO32),
    )
    return EvmChain(deployment, Pool(fakes, 31337, lambda: 0.0))  # type: ignore[arg-type]


def nonces(number: int) -> dict[str, Any]:
    return {"eth_getTransactionCount": hex(number)}


async def test_fetch_nonce__endpoints_agree__is_the_nonce() -> None:
    assert await chain_of(nonces(7), nonces(7)).fetch_nonce(PAYER) == 7
    assert await chain_of(nonces(7)).fetch_nonce(PAYER) == 7


@pytest.mark.parametrize("liar", [6, 8, 10**9])
async def test_fetch_nonce__one_endpoint_says_another__waits(liar: int) -> None:
    with pytest.raises(ChainUnavailable, match="disagree about the next nonce"):
        await chain_of(nonces(liar), nonces(7)).fetch_nonce(PAYER)


async def test_fetch_final_nonce__one_endpoint_runs_ahead__is_the_lower() -> None:
    assert await chain_of(nonces(99), nonces(7)).fetch_final_nonce(PAYER) == 7


async def test_fetch_nonce__one_endpoint_gives_an_error__the_other_counts() -> None:
    refusing = {"eth_getTransactionCount": RpcError(-32000, "busy", b"")}
    assert await chain_of(refusing, nonces(7)).fetch_nonce(PAYER) == 7
    with pytest.raises(ChainUnavailable, match="busy"):
        await chain_of(refusing, refusing).fetch_nonce(PAYER)


def preview(status: str, paid: int, rows: int = 1) -> dict[str, Any]:
    code = STATUS_NAMES.index(status)
    raw = encode(["uint8[]", "address[]", "uint128[]"], [[code] * rows, [PAYER] * rows, [paid] * rows])
    return {"eth_call": "0x" + raw.hex()}


async def test_preview__one_endpoint_says_it_pays_nothing__does_not_stop_the_claim() -> None:
    for voices in ((preview("NothingNew", 0), preview("Paid", 70)), (preview("Paid", 70), preview("NothingNew", 0))):
        (said,) = await chain_of(*voices).preview_claims([ROW])
        assert (said.status, said.paid) == ("Paid", 70)


async def test_preview__endpoints_name_two_amounts__the_lower_counts() -> None:
    (said,) = await chain_of(preview("Paid", 10**30), preview("PaidPart", 7)).preview_claims([ROW])
    assert said.paid == 7


async def test_preview__both_refuse_the_claim__is_refused() -> None:
    (said,) = await chain_of(preview("NoCover", 0), preview("NoCover", 0)).preview_claims([ROW])
    assert said.status == "NoCover"


@pytest.mark.parametrize("answer", [{"eth_call": "0x1234"}, preview("Paid", 1, rows=2)])
async def test_preview__not_what_the_escrow_returns__is_unavailable(answer: dict[str, Any]) -> None:
    with pytest.raises(ChainUnavailable, match="preview"):
        await chain_of(answer).preview_claims([ROW])


def simulated(status: str, gas: int) -> dict[str, Any]:
    raw = encode(["uint8[]"], [[STATUS_NAMES.index(status)]])
    return {"eth_call": "0x" + raw.hex(), "eth_estimateGas": hex(gas)}


async def test_simulate__one_endpoint_says_useless_and_absurd_gas__is_sent_with_a_bounded_limit() -> None:
    chain = chain_of(simulated("NothingNew", 10**15), simulated("Paid", 90_000))
    said = await chain.simulate(chain.claim_call([ROW]), PAYEE)
    assert (said.gas, said.is_useless) == (MOST_GAS, False)


async def test_simulate__all_say_useless__is_needless() -> None:
    chain = chain_of(simulated("NothingNew", 1), simulated("NothingNew", 90_000))
    said = await chain.simulate(chain.claim_call([ROW]), PAYEE)
    assert (said.gas, said.is_useless) == (90_000, True)


async def test_simulate__every_endpoint_reverts__is_the_contracts_refusal() -> None:
    reverting = {"eth_estimateGas": RpcError(3, "execution reverted", b"")}
    with pytest.raises(CallReverted):
        await chain_of(reverting, reverting).simulate(Call(ESCROW, b"\x01"), PAYEE)


async def test_duels__endpoints_differ_on_rules_or_a_seed__nothing_is_believed() -> None:
    """A liar's epoch, or "your seed is revealed", costs a slash."""
    seeds = [encode(["bytes32", "uint16", "bool"], [ZERO32, 50, flag]) for flag in (False, True)]
    said = [{"eth_call": "0x" + seed.hex()} for seed in seeds]
    chain = chain_of(*said)
    chain.deployment = replace(chain.deployment, duels=Address(b"\xd0" * 20))
    duels = EvmDuels(chain)
    for reading in (duels.read_rules(), duels.read_seed(PAYEE, 7)):
        with pytest.raises(ChainUnavailable, match="disagree"):
            await reading
    chain.pool = chain_of(said[0], said[0]).pool
    assert await duels.read_seed(PAYEE, 7) == SeedOnChain(50, is_revealed=False)
