"""What this node's operator key may sign: receipts and claims of the generations that name it on chain, no others.

A receipt whose signature got lost in a crash is signed again when it is asked for. After the operator key was changed,
the new key must not sign it: whoever checks it would find a forged receipt. Such a thing is refused, clearly.
"""

from collections.abc import Callable

from node.core.errors import KeyNotHere
from node.core.types import Address, Bytes32, Signature
from node.ports.basics import Signer

OperatorOf = Callable[[int], Address]
"""The operator key of a generation, as the chain has it; the zero address when there was none."""


def check_key(signer: Signer, operator: Address, generation: int) -> None:
    """Raises KeyNotHere unless `signer` is the operator key of that generation."""
    if signer.address != operator:
        raise KeyNotHere(
            f"what belongs to generation {generation} is signed by that generation's operator key alone, and this node "
            "holds another one; its owner can start it once more with the former keystore",
            operator="0x" + operator.hex(),
            generation=generation,
        )


def sign_as(signer: Signer, operator: Address, generation: int, digest: Bytes32) -> Signature:
    """`digest` is a receipt's or claim's of that generation. Raises KeyNotHere."""
    check_key(signer, operator, generation)
    return signer.sign(digest)
