"""`prepay.py challenge` against real contracts: a payee that claims more than its own receipt says loses it again."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, insert
from typer.testing import CliRunner

from node.adapters.chain.evm import connect
from node.adapters.chain.views import Views
from node.adapters.clock import SystemClock
from node.adapters.keys.keystore import create_keystore
from node.adapters.keys.secret import Secret
from node.cli import prepay
from node.cli.deploying import deploy_set
from node.cli.session import Session
from node.client import tables
from node.client.settlements import Challenge
from node.client.store import open_engine
from node.client.x402 import SignedReceipt
from node.core.merkle import Peaks, leaf_hash
from node.core.messages import Claim, Receipt
from node.core.settlement import SignedClaim
from node.core.types import Amount, Micros
from node.core.wire import message_to_json
from node.deployment import load_deployment
from tests.factories import make_receipt, make_terms, make_voucher
from tests.integration.chain_fixtures import (
    DEV_ACCOUNT,
    OPERATOR,
    Anvil,
    Market,
    UnlockedAccount,
    anvil,
    deploy_wishes,
    unlocked_account,
)

__all__ = ["anvil"]
OVERCLAIMED, TRUE = 4_000, 1_000


class Case:
    """A market in which the payee has claimed 4,000 where its own later receipt says 1,000."""

    def __init__(self, folder: Path, chain: Anvil) -> None:
        self.folder, self.anvil = folder, chain
        self.password = folder / "password"
        self.password.touch(mode=0o600)
        self.password.write_text("pass")
        self.payer = create_keystore(folder / "payer.json", Secret(b"pass"), 2)
        chain.give_coin(self.payer.address)
        chain.give_coin(OPERATOR.address)
        self.receipt, self.claim = asyncio.run(self._prepare())

    async def _prepare(self) -> tuple[SignedReceipt, SignedClaim]:
        file = self.folder / "deployment.json"
        await deploy_set(deploy_wishes(file), [self.anvil.url], DEV_ACCOUNT)
        deployment = load_deployment(file)
        chain = connect(deployment, [self.anvil.url], SystemClock().monotonic)
        try:
            market = Market(self.anvil, deployment, file, chain, await unlocked_account(chain, 1))
            await market.set_operator()
            self.anvil.rpc("anvil_impersonateAccount", "0x" + self.payer.address.hex())
            session = Session(chain, UnlockedAccount(chain, self.payer.address), is_quiet=True)
            await session.ensure_currency(1_000_000, mints=True)
            await session.ensure_allowance(deployment.escrow, 1_000_000, "escrow")
            await session.escrow("deposit", "deposit", 1_000_000)
            await session.escrow("allot", "allot", (market.payee.address,), (1_000_000,))
            return await self._overclaim(market)
        finally:
            await chain.close()

    async def _overclaim(self, market: Market) -> tuple[SignedReceipt, SignedClaim]:
        domain, now = market.deployment.domain, (await market.chain.fetch_head()).timestamp * 1_000_000
        who = {"payer": self.payer.address, "payee": market.payee.address, "lane": self.payer.address, "generation": 1}
        amounts = {"charge": Amount(TRUE), "cumulative": Amount(TRUE)}
        receipt = make_receipt(**who, seq=Micros(now + 5), **amounts)
        peaks = Peaks().append(leaf_hash(receipt.struct_hash()))
        claim = Claim(
            **who,
            seq=Micros(now),
            cumulative=Amount(OVERCLAIMED),
            receipts_root=peaks.root,
            count=1,  # type: ignore[arg-type]
        )
        voucher = replace(
            make_voucher(make_terms()),
            payer=self.payer.address,
            payee=market.payee.address,
            generation=1,
            ceiling=Amount(100_000),
        )
        signed = SignedClaim(
            claim,
            OPERATOR.sign(domain.digest(claim.struct_hash())),
            voucher,
            self.payer.sign(domain.digest(voucher.struct_hash())),
            peaks,
        )
        await market.send(market.payee, market.chain.claim_call([signed]))
        self.anvil.mine(5)
        return SignedReceipt(receipt, OPERATOR.sign(domain.digest(receipt.struct_hash()))), signed

    def run(self, *arguments: object) -> Any:
        words = ("challenge", "--deployment", self.folder / "deployment.json", "--rpc", self.anvil.url)
        key = ("--keystore", self.folder / "payer.json", "--password-file", self.password, "--yes")
        return CliRunner().invoke(prepay.app, [str(word) for word in (*words, *key, *arguments)])

    async def free(self) -> int:
        chain = connect(load_deployment(self.folder / "deployment.json"), [self.anvil.url], SystemClock().monotonic)
        try:
            return await Views(chain, await chain.fetch_head()).free(self.payer.address)
        finally:
            await chain.close()

    def wallet(self, receipt: SignedReceipt) -> Path:
        """A wallet that holds this receipt; its purchase is left out."""
        file = self.folder / "wallet.db"
        open_engine(file).dispose()
        engine = create_engine(f"sqlite:///{file}")
        with engine.begin() as connection:
            connection.execute(insert(tables.receipt).values(**_row(receipt.receipt, receipt.signature)))
        engine.dispose()
        return file


def _row(receipt: Receipt, signature: bytes) -> dict[str, object]:
    return {
        "payer": receipt.payer,
        "payee": receipt.payee,
        "lane": receipt.lane,
        "generation": receipt.generation,
        "request_id": receipt.request_id,
        "seq": receipt.seq,
        "charge": receipt.charge,
        "credit": receipt.charge,
        "cumulative": receipt.cumulative,
        "message": json.dumps(message_to_json(receipt)),
        "signature": signature,
        "booked_at": 1,
    }


@pytest.fixture
def case(tmp_path: Path, anvil: Anvil) -> Case:
    return Case(tmp_path, anvil)


def test_challenge__wallet_holds_the_contradiction__half_of_the_excess_and_more_comes_back(case: Case) -> None:
    result = case.run("--wallet", case.wallet(case.receipt), "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert [one["outcome"] for one in said["challenges"]] == ["sent"]
    returned = asyncio.run(case.free())
    assert 0 < returned <= OVERCLAIMED - TRUE
    again = case.run("--wallet", case.folder / "wallet.db", "--json")
    assert again.exit_code == 0, again.output
    assert asyncio.run(case.free()) >= returned


def test_challenge__evidence_file__does_the_same(case: Case) -> None:
    evidence = case.folder / "evidence.json"
    evidence.write_text(json.dumps(Challenge(case.claim.claim, case.claim.signature, case.receipt).to_json()))
    result = case.run("--evidence", evidence)
    assert result.exit_code == 0, result.output
    assert "Overclaims" in result.stdout
    assert asyncio.run(case.free()) > 0


def test_challenge__receipts_agree__sends_nothing(case: Case) -> None:
    honest = replace(case.receipt.receipt, cumulative=Amount(OVERCLAIMED), charge=Amount(OVERCLAIMED))
    result = case.run("--wallet", case.wallet(SignedReceipt(honest, case.receipt.signature)))
    assert result.exit_code == 0, result.output
    assert "no overclaim" in result.stdout
    assert asyncio.run(case.free()) == 0


def test_challenge__evidence_that_proves_nothing__is_the_contracts_refusal(case: Case) -> None:
    later = replace(case.receipt.receipt, cumulative=Amount(OVERCLAIMED))
    evidence = case.folder / "evidence.json"
    shown = SignedReceipt(later, case.receipt.signature)
    evidence.write_text(json.dumps(Challenge(case.claim.claim, case.claim.signature, shown).to_json()))
    result = case.run("--evidence", evidence)
    assert result.exit_code == 1
    assert "Escrow_NoContradiction" in result.stderr


def test_challenge__no_source_or_no_wallet__says_what_to_name(case: Case) -> None:
    for arguments, words in (((), "--wallet"), (("--wallet", case.folder / "none.db"), "there is no wallet")):
        result = case.run(*arguments)
        assert (result.exit_code, words in result.stderr) == (2, True), result.output


def test_challenge__unreadable_evidence__says_what_is_wrong(case: Case) -> None:
    evidence = case.folder / "bad.json"
    assert case.run("--evidence", evidence).exit_code == 2
    for text, words in (("{", "not JSON"), ("[]", "not an object"), ("{}", "is wrong")):
        evidence.write_text(text)
        result = case.run("--evidence", evidence)
        assert (result.exit_code, words in result.stderr) == (2, True), result.output
