"""The steps of scripts/deploy.py: recognise, plan, price, ask, create, prove, write; a plan file survives a crash."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from node.adapters.chain.abi import Interface, load_artifact
from node.adapters.chain.creating import (
    Creation,
    DuelWindows,
    SetPlan,
    SetTimes,
    artifacts_hash,
    check_code,
    creations_of,
    plan_set,
)
from node.adapters.chain.evm import EvmChain, connect, discover_chain_id
from node.adapters.chain.views import Views
from node.adapters.clock import SystemClock
from node.cli.common import checksummed, confirm, native, notes, screen, table
from node.cli.session import KeyOptions, Session, open_account
from node.core.errors import BadConfig, CallReverted
from node.core.transactions import Call
from node.core.types import ZERO32, ZERO_ADDRESS, Address, Amount, Seconds
from node.deployment import (
    DEVELOPMENT_CHAIN_ID,
    Deployment,
    deployment_to_json,
    load_deployment,
    save_deployment,
)

SHORTEST_THAW = Seconds(3600)
"""Off the development chain a payee needs at least this long to notice a thaw and claim."""
GAS_PER_BYTE, GAS_FIXED, GAS_REGISTRY_READS = 230, 400_000, 60_000
"""Upper estimate of a creation: 200 a byte stored, calldata, the constructor's writes."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks for."""

    out: Path
    currency: Address | None
    min_stake: Amount
    times: SetTimes
    windows: DuelWindows
    is_dry_run: bool
    is_agreed: bool
    is_quiet: bool

    @property
    def plan_file(self) -> Path:
        """Remembers an unfinished deployment."""
        return self.out.with_name(self.out.name + ".plan")


async def deploy_set(wishes: Wishes, rpc: Sequence[str], keys: KeyOptions) -> dict[str, Any]:
    """The whole command; its result for --json."""
    chain_id = await discover_chain_id(rpc)
    check_wishes(wishes, chain_id)
    chain = connect(_blank(chain_id), rpc, SystemClock().monotonic)
    try:
        known = await _recognised(wishes, chain_id, rpc)
        if known is not None:
            return {"already_deployed": True, "deployment": deployment_to_json(known), "transactions": []}
        session = Session(chain, await open_account(chain, keys), wishes.is_quiet)
        return await _deploy(wishes, session)
    finally:
        await chain.close()


def check_wishes(wishes: Wishes, chain_id: int) -> None:
    """Refuse what would endanger money off the development chain. Raises BadConfig."""
    if chain_id == DEVELOPMENT_CHAIN_ID:
        return
    if wishes.currency is None:
        raise BadConfig(f"chain {chain_id} is not a development chain: name the ERC-20 with --currency ADDRESS")
    if wishes.times.thaw < SHORTEST_THAW:
        raise BadConfig(f"--thaw {wishes.times.thaw} is under an hour: payees could not claim in time")


def _blank(chain_id: int) -> Deployment:
    none = ZERO_ADDRESS
    zero = Seconds(0)
    return Deployment(chain_id, none, none, None, none, "?", 0, 0, ZERO32, zero, ZERO32)


async def _recognised(wishes: Wishes, chain_id: int, rpc: Sequence[str]) -> Deployment | None:
    """The set of an existing deployment file, if it stands on this chain. Raises BadConfig when it does not fit."""
    if not wishes.out.exists():
        return None
    known = load_deployment(wishes.out)
    if known.chain_id != chain_id:
        raise BadConfig(
            f"{wishes.out} is of chain {known.chain_id}, the RPC endpoint is on {chain_id}: use another --out"
        )
    chain = connect(known, rpc, SystemClock().monotonic)
    try:
        views = Views(chain, await chain.fetch_head())
        if known.is_development and not await views.code(known.escrow):
            notes.print(f"{wishes.out} is of an earlier run of this development chain: deploying anew")
            return None
        await views.check_set()
        if known.artifacts_hash != artifacts_hash():
            raise BadConfig(f"{wishes.out} is a set of another version of this package: name another --out")
    finally:
        await chain.close()
    if not wishes.is_quiet:
        screen.print(f"{wishes.out}: this set is deployed already, and the code on chain is this package's")
    return known


async def _deploy(wishes: Wishes, session: Session) -> dict[str, Any]:
    views = await session.views()
    plan, from_block = await _planned(wishes, session, views)
    creations = creations_of(plan)
    fees = await session.chain.fetch_fees()
    gas = sum(gas_of(creation) for creation in creations)
    cost = gas * (fees.base_fee + fees.tip)
    _show_plan(creations, gas, cost, session)
    if wishes.is_dry_run:
        addresses = {creation.name: checksummed(creation.address) for creation in creations}
        return {"dry_run": True, "gas": gas, "cost_wei": str(cost), "addresses": addresses, "transactions": []}
    balance = await views.native_balance(session.account.address)
    if balance < cost:
        who = checksummed(session.account.address)
        raise BadConfig(f"{who} holds {native(balance)} of native coin, the deployment costs about {native(cost)}")
    confirm("Deploy these contracts?", is_agreed=wishes.is_agreed)
    _save_plan(wishes.plan_file, session, plan, from_block)
    for creation in creations:
        await _create(session, creation, wishes.plan_file)
    deployment = await _proven(session, plan, from_block)
    save_deployment(wishes.out, deployment)
    wishes.plan_file.unlink(missing_ok=True)
    session.show_sent()
    if not wishes.is_quiet:
        screen.print(f"wrote {wishes.out}")
    document = deployment_to_json(deployment)
    return {"already_deployed": False, "deployment": document, "transactions": session.sent_json()}


async def _planned(wishes: Wishes, session: Session, views: Views) -> tuple[SetPlan, int]:
    """A new plan, or the one an earlier run did not finish."""
    sender = session.account.address
    stored = _load_plan(wishes.plan_file)
    if stored is not None:
        nonce, from_block = int(stored["nonce"]), int(stored["from_block"])
        plan = plan_set((sender, nonce), wishes.currency, wishes.min_stake, wishes.times, wishes.windows)
        if stored == _plan_json(session, plan, from_block):
            return plan, from_block
        if await session.chain.fetch_nonce(sender) > nonce and not session.deployment.is_development:
            raise BadConfig(
                f"{wishes.plan_file} holds an unfinished deployment with other settings: repeat them or delete it"
            )
    nonce = await session.chain.fetch_nonce(sender)
    plan = plan_set((sender, nonce), wishes.currency, wishes.min_stake, wishes.times, wishes.windows)
    return plan, views.block.number + 1


def _plan_json(session: Session, plan: SetPlan, from_block: int) -> dict[str, Any]:
    return {
        "chain_id": session.deployment.chain_id,
        "sender": "0x" + plan.sender.hex(),
        "nonce": plan.first_nonce,
        "from_block": from_block,
        "currency": None if plan.creates_currency else "0x" + plan.currency.hex(),
        "min_stake": plan.min_stake,
        "times": asdict(plan.times),
        "duel_windows": asdict(plan.windows),
        "artifacts_hash": "0x" + artifacts_hash().hex(),
    }


def _save_plan(file: Path, session: Session, plan: SetPlan, from_block: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(_plan_json(session, plan, from_block)))


def _load_plan(file: Path) -> Mapping[str, Any] | None:
    try:
        stored = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return stored if isinstance(stored, dict) and {"nonce", "from_block"} <= stored.keys() else None


def gas_of(creation: Creation) -> int:
    """Upper estimate: the registry's constructor calls an escrow that does not exist yet, so it cannot be simulated."""
    return GAS_FIXED + GAS_PER_BYTE * len(creation.code) + GAS_REGISTRY_READS


def _show_plan(creations: Sequence[Creation], gas: int, cost: int, session: Session) -> None:
    if session.is_quiet:
        return
    made = table(f"Deployment on chain {session.deployment.chain_id}", "contract", "address", "code (bytes)", "gas <=")
    for creation in creations:
        row = (creation.name, checksummed(creation.address), f"{len(creation.code):,}", f"{gas_of(creation):,}")
        made.add_row(*row)
    screen.print(made)
    screen.print(
        f"at most {gas:,} gas, about {native(cost)} of native coin from {checksummed(session.account.address)}"
    )


async def _create(session: Session, creation: Creation, plan_file: Path) -> None:
    """One contract, unless an earlier run made it."""
    code = await (await session.views()).code(creation.address)
    if code:
        check_code(creation.name, code)
        return
    nonce = await session.chain.fetch_nonce(session.account.address)
    if nonce != creation.nonce:
        raise BadConfig(
            f"the sender's nonce is {nonce}, the plan needs {creation.nonce}: something else used this key meanwhile."
            f" Delete {plan_file} and run this again for a new set",
        )
    await session.send(f"create {creation.name}", Call(Address(b""), creation.code))


async def _proven(session: Session, plan: SetPlan, from_block: int) -> Deployment:
    """The deployment as the chain shows it. Raises BadConfig when it is not the planned one."""
    symbol, decimals = await _currency_words(session, plan.currency)
    block = await session.chain.fetch_block(from_block)
    deployment = Deployment(
        chain_id=session.deployment.chain_id,
        escrow=plan.escrow,
        registry=plan.registry,
        duels=plan.duels,
        currency=plan.currency,
        currency_symbol=symbol,
        currency_decimals=decimals,
        deploy_block=from_block,
        block_hash=block.hash,
        thaw_seconds=plan.times.thaw,
        artifacts_hash=artifacts_hash(),
    )
    proof = EvmChain(deployment, session.chain.pool)
    await Views(proof, await session.chain.fetch_head()).check_set()
    return deployment


async def _currency_words(session: Session, currency: Address) -> tuple[str, int]:
    interface = Interface.of(load_artifact("DevCurrency"))
    try:
        symbol = await session.chain.call(Call(currency, interface.encode_call("symbol")))
        decimals = await session.chain.call(Call(currency, interface.encode_call("decimals")))
    except CallReverted as exc:
        raise BadConfig(f"{checksummed(currency)} does not answer like an ERC-20") from exc
    return interface.decode_result("symbol", symbol)[0], interface.decode_result("decimals", decimals)[0]
