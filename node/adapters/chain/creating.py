"""Deploying one set of contracts: predicted addresses, creation code, and the proof that what stands there is ours.

The contracts of a set name each other as immutables, so all addresses are predicted before the first exists.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import rlp  # type: ignore[import-untyped]

from node.adapters.chain.abi import Artifact, Interface, load_artifact
from node.core.duels import terms_for
from node.core.errors import BadConfig
from node.core.hashing import keccak
from node.core.types import Address, Amount, Bytes32, Seconds

ARTIFACTS = ("Escrow", "Registry", "Duels", "DevCurrency")
PLACEHOLDER = re.compile(rb"\x7f\x00{32}")
"""PUSH32 of zero: where the compiler leaves room for an immutable."""


@dataclass(frozen=True, slots=True)
class SetTimes:
    """All windows of a set, in seconds (their meaning: docs/contracts.md)."""

    thaw: Seconds = Seconds(86_400)
    hold: Seconds = Seconds(86_400)
    payout_delay: Seconds = Seconds(172_800)
    unbonding: Seconds = Seconds(604_800)
    dispute: Seconds = Seconds(86_400)
    appeal: Seconds = Seconds(86_400)


@dataclass(frozen=True, slots=True)
class DuelWindows:
    """The windows of a set's duels, in seconds; `draw_delay` in blocks (their meaning: docs/contracts.md)."""

    epoch: Seconds = Seconds(86_400)
    commit: Seconds = Seconds(14_400)
    reveal: Seconds = Seconds(14_400)
    appeal: Seconds = Seconds(43_200)
    draw_delay: int = 4


@dataclass(frozen=True, slots=True)
class SetPlan:
    """Which contracts a sender's next transactions will create; a development currency is one of them."""

    sender: Address
    first_nonce: int
    creates_currency: bool
    currency: Address
    escrow: Address
    registry: Address
    duels: Address
    min_stake: Amount
    times: SetTimes
    windows: DuelWindows


@dataclass(frozen=True, slots=True)
class Creation:
    """One contract to create."""

    name: str
    nonce: int
    address: Address
    code: bytes


def created_address(sender: Address, nonce: int) -> Address:
    """Where a CREATE by `sender` with `nonce` lands."""
    return Address(keccak(rlp.encode([sender, nonce]))[12:])


def plan_set(
    origin: tuple[Address, int],
    currency: Address | None,
    min_stake: Amount,
    times: SetTimes,
    windows: DuelWindows,
) -> SetPlan:
    """Predict all addresses of a set sent from `origin` (sender, nonce). `currency` None: create DevCurrency first."""
    sender, nonce = origin
    first = nonce if currency is not None else nonce + 1
    return SetPlan(
        sender=sender,
        first_nonce=nonce,
        creates_currency=currency is None,
        currency=currency or created_address(sender, nonce),
        escrow=created_address(sender, first),
        registry=created_address(sender, first + 1),
        duels=created_address(sender, first + 2),
        min_stake=min_stake,
        times=times,
        windows=windows,
    )


def creations_of(plan: SetPlan) -> tuple[Creation, ...]:
    """The creations of a plan, in the order of their nonces."""
    times = plan.times
    escrow_args = (plan.currency, plan.registry, plan.duels, (times.thaw, times.hold, times.payout_delay))
    registry_args = (plan.escrow, plan.min_stake, (times.unbonding, times.dispute, times.appeal))
    wanted: list[tuple[str, Address, tuple[object, ...]]] = [
        ("Escrow", plan.escrow, escrow_args),
        ("Registry", plan.registry, registry_args),
        ("Duels", plan.duels, _duels_args(plan)),
    ]
    if plan.creates_currency:
        wanted.insert(0, ("DevCurrency", plan.currency, ()))
    return tuple(
        Creation(name, plan.first_nonce + at, address, _creation_code(load_artifact(name), args))
        for at, (name, address, args) in enumerate(wanted)
    )


def _duels_args(plan: SetPlan) -> tuple[object, ...]:
    """The shipped setting, scaled to the least stake: the contract refuses slashes that could empty it."""
    terms, windows = terms_for(plan.min_stake), plan.windows
    times = (windows.epoch, windows.commit, windows.reveal, windows.appeal, windows.draw_delay)
    slashes = (terms.loser_slash, terms.minority_slash, terms.silent_slash, terms.fault_slash)
    return plan.registry, times, (terms.bond, terms.appeal_bond, terms.judge_fee, *slashes)


def _creation_code(artifact: Artifact, args: tuple[object, ...]) -> bytes:
    return artifact.bytecode + Interface.of(artifact).encode_constructor(*args)


def check_code(name: str, code: bytes) -> None:
    """The code at an address is our build of `name`, immutables apart. Raises BadConfig.

    The runtime code stands inside the creation code with 32 zero bytes for each immutable; only those may differ. What
    the immutables hold is then read through the contract's views.
    """
    if not code:
        raise BadConfig(f"there is no contract where {name} should be", contract=name)
    if not any(_differs_only_in(template, code) for template in _templates(load_artifact(name).bytecode, code)):
        raise BadConfig(
            f"the code on chain is not this package's {name}: another version or another contract", contract=name
        )


def _templates(creation: bytes, code: bytes) -> Iterator[bytes]:
    start = creation.find(code[:32])
    while start >= 0:
        yield creation[start : start + len(code)]
        start = creation.find(code[:32], start + 1)


def _differs_only_in(template: bytes, code: bytes) -> bool:
    rest = bytearray(code)
    for hole in PLACEHOLDER.finditer(template):
        rest[hole.start() + 1 : hole.end()] = bytes(32)
    return bytes(rest) == template


def artifacts_hash() -> Bytes32:
    """One hash over the creation code of every contract of the package."""
    return keccak(b"".join(keccak(load_artifact(name).bytecode) for name in ARTIFACTS))
