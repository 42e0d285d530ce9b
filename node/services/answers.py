"""Signs this node's answers to other nodes (`core.answers`). Stores nothing: the same answer can be made again.

The commitment to a nonce is derived from the operator key and the request, so that no restart, no repeat and no second
worker can ever sign two answers to one request, which is slashed. Nobody else can foresee it (threat D6).
"""

from node.core.account import Admission
from node.core.answers import SignedAnswer, answer_to, is_due, is_named_by
from node.core.hashing import Domain, keccak, word
from node.core.messages import Receipt
from node.core.types import ZERO32, Bytes32, LaneKey, Status
from node.ports.basics import Signer
from node.services.signing import OperatorOf, sign_as

SECRET_TYPE = b"AnswerNonces(string purpose)"
SECRET_HASH = keccak(keccak(SECRET_TYPE) + keccak(b"what the nonces of answers are derived from"))
"""No contract knows this type: a signature over it is good for nothing else, and it never leaves the process."""


class AnswerSigner:
    """Makes and signs answers."""

    def __init__(self, signer: Signer, domain: Domain, operator_of: OperatorOf) -> None:
        self._signer = signer
        self._domain = domain
        self._operator_of = operator_of
        self._secret: bytes | None = None

    def hash_for(self, admission: Admission, status: Status, response_hash: Bytes32) -> Bytes32:
        """The receipt's `answerHash`: of the answer that `signed` will sign, or zero when none is due."""
        if not is_due(admission.terms, status):
            return ZERO32
        return answer_to(admission, response_hash, self._commit(admission)).struct_hash()

    def signed(self, admission: Admission, receipt: Receipt) -> SignedAnswer | None:
        """The answer that a receipt of ours names; None when it names none, or one under an operator key not here."""
        if receipt.answer_hash == ZERO32 or self._operator_of(receipt.generation) != self._signer.address:
            return None
        answer = answer_to(admission, receipt.response_hash, self._commit(admission))
        if not is_named_by(answer, receipt, admission.terms):
            return None
        digest = self._domain.digest(receipt.answer_hash)
        return SignedAnswer(answer, sign_as(self._signer, self._signer.address, receipt.generation, digest))

    def _commit(self, admission: Admission) -> Bytes32:
        nonce = keccak(self._own_secret() + _place(admission.key) + admission.request_id)
        return keccak(nonce)

    def _own_secret(self) -> bytes:
        if self._secret is None:
            self._secret = keccak(self._signer.sign(self._domain.digest(SECRET_HASH)))
        return self._secret


def _place(key: LaneKey) -> bytes:
    return key.payer + key.payee + key.lane + word(key.generation)
