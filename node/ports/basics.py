"""Time and keys."""

from typing import Protocol

from node.core.types import Address, Bytes32, Signature


class Clock(Protocol):
    """Wall clock and monotonic clock, in one place so that tests can bend them."""

    def now(self) -> float:
        """Unix seconds."""

    def monotonic(self) -> float:
        """Seconds that never step back."""


class Signer(Protocol):
    """One private key behind an interface that never shows it (threat K1)."""

    @property
    def address(self) -> Address:
        """The key's address."""

    def sign(self, digest: Bytes32) -> Signature:
        """Deterministic (RFC 6979) signature of a 32-byte digest."""
