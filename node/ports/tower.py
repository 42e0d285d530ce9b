"""Watchtowers, from both sides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from node.core.messages import Claim
from node.core.pushes import HeldClaim
from node.core.settlement import SignedClaim
from node.core.types import Address, Signature


@dataclass(frozen=True, slots=True)
class TowerClaim:
    """What a watchtower shows of a lane: the newest claim that was pushed to it."""

    claim: Claim
    signature: Signature


class Tower(Protocol):
    """One watchtower. Raises TowerUnavailable when it does not answer."""

    @property
    def name(self) -> str:
        """Its URL."""

    async def push(self, claims: Sequence[SignedClaim]) -> None:
        """Returns once it has stored them."""

    async def load_claims(self, payee: Address) -> Sequence[TowerClaim]:
        """The newest claim of each lane and generation it holds."""


class TowerBook(Protocol):
    """What a watchtower remembers."""

    async def keep(self, claims: Sequence[SignedClaim]) -> int:
        """Durably, one a lane and generation: the one with the highest `seq`. How many were news."""

    async def load(self, payee: Address) -> Sequence[SignedClaim]:
        """Everything held for a payee."""

    async def load_held(self) -> Sequence[HeldClaim]:
        """Everything held, beside what the chain says now."""
