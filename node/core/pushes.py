"""A pushed claim as a watchtower keeps it: its JSON, its checks, and when it must go to the chain. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from node.core.errors import BadVoucher, WrongSignature
from node.core.hashing import Domain
from node.core.merkle import Peaks
from node.core.messages import Claim, Voucher
from node.core.settlement import SignedClaim
from node.core.types import Address, Amount, Bytes32, Seconds, Signature
from node.core.wire import hex_of, message_from_json, message_to_json, signature_of

Recover = Callable[[Bytes32, Signature], Address]


def push_to_json(signed: SignedClaim) -> dict[str, Any]:
    """The tree's peaks stay at home: a tower needs the root alone."""
    return {
        "claim": message_to_json(signed.claim),
        "claimSignature": hex_of(signed.signature),
        "voucher": message_to_json(signed.voucher),
        "voucherSignature": hex_of(signed.voucher_signature),
    }


def push_from_json(document: object) -> SignedClaim:
    """The reverse. Raises BadVoucher."""
    if not isinstance(document, dict):
        raise BadVoucher("a push must be an object", field="claims")
    return SignedClaim(
        claim=message_from_json(Claim, document.get("claim")),
        signature=signature_of(document.get("claimSignature"), "claimSignature"),
        voucher=message_from_json(Voucher, document.get("voucher")),
        voucher_signature=signature_of(document.get("voucherSignature"), "voucherSignature"),
        peaks=Peaks(),
    )


def check_push(signed: SignedClaim, operator: Address, domain: Domain, recover: Recover) -> None:
    """The payee's operator vouches for the claim, the lane for its ceiling. Raises WrongSignature or BadVoucher."""
    claim, voucher = signed.claim, signed.voucher
    pays = (claim.payer, claim.payee, claim.generation)
    if (voucher.payer, voucher.payee, voucher.generation) != pays or claim.cumulative > voucher.ceiling:
        raise BadVoucher("claim and voucher do not belong together", field="voucher")
    if recover(domain.digest(claim.struct_hash()), signed.signature) != operator:
        raise WrongSignature("the claim is not signed by the operator of its generation")
    if recover(domain.digest(voucher.struct_hash()), signed.voucher_signature) != claim.lane:
        raise WrongSignature("the voucher is not signed by the claim's lane")


@dataclass(frozen=True, slots=True)
class HeldClaim:
    """A pushed claim beside what the chain says now. Times 0: no thaw runs."""

    signed: SignedClaim
    claimed: Amount
    thaw_end: Seconds
    signer_thaw_end: Seconds
    head_generation: int

    @property
    def deadline(self) -> Seconds:
        """When the first of the thaws ends; 0 without one."""
        return min((end for end in (self.thaw_end, self.signer_thaw_end) if end), default=Seconds(0))


def must_be_sent(held: HeldClaim, now: Seconds, thaw_seconds: Seconds) -> bool:
    """The node has had half of the window for itself; a closed generation goes at once (it has a window, too)."""
    claim = held.signed.claim
    if held.claimed >= claim.cumulative:
        return False
    is_closed = held.head_generation > claim.generation
    return is_closed or (held.deadline > 0 and now >= held.deadline - thaw_seconds // 2)
