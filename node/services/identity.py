"""Prove who this node is to whoever connects to it: sign the caller's nonce with the operator key (threat H2)."""

from collections.abc import Callable
from dataclasses import dataclass

from node.core.hashing import Domain, keccak
from node.core.identity import Identity
from node.core.types import ZERO32, Address, Bytes32
from node.core.wire import hex_of
from node.ports.basics import Signer


@dataclass(frozen=True, slots=True)
class Prover:
    """`certificate`: the TLS leaf certificate (DER) of this node's endpoint, read anew each time; None without TLS."""

    payee: Address
    domain: Domain
    signer: Signer
    certificate: Callable[[], bytes | None]

    def proof(self, nonce: Bytes32) -> dict[str, str]:
        """The channel is our own certificate, never one that the caller names: that is what stops a middleman."""
        certificate = self.certificate()
        channel = ZERO32 if certificate is None else keccak(certificate)
        identity = Identity(self.payee, nonce, channel)
        signature = self.signer.sign(self.domain.digest(identity.struct_hash()))
        return {"payee": hex_of(self.payee), "channel": hex_of(channel), "signature": hex_of(signature)}
