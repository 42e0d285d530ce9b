"""The executor's signed word on a whole answer that it gave another node: what it says, when it is due, what it fits.

An answer is due for a complete answer to terms with hops >= 1, for each of them alike: whether a request is duelled
cannot be told by it. Everything in it but `nonceCommit` follows from the receipt that carries its hash.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from node.core.account import Admission
from node.core.errors import BadVoucher
from node.core.messages import Answer, Receipt, Terms
from node.core.types import ZERO32, Bytes32, Signature, Status
from node.core.wire import hex_of, message_from_json, message_to_json, signature_of


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """An answer and the signature of its executor's operator key."""

    answer: Answer
    signature: Signature

    def to_json(self) -> dict[str, Any]:
        """As it stands beside its receipt."""
        return {"answer": message_to_json(self.answer), "signature": hex_of(self.signature)}


def is_due(terms: Terms, status: int) -> bool:
    """Whether the executor must sign its answer: it was bought by a node, and it is whole."""
    return terms.hops >= 1 and status == Status.COMPLETE


def answer_to(admission: Admission, response_hash: Bytes32, nonce_commit: Bytes32) -> Answer:
    """What the executor signs for a request that it served."""
    key, terms = admission.key, admission.terms
    return Answer(
        payer=key.payer,
        lane=key.lane,
        generation=key.generation,
        request_id=terms.request_id,
        request_hash=terms.request_hash,
        response_hash=response_hash,
        model=terms.model,
        executor=key.payee,
        nonce_commit=nonce_commit,
    )


def is_named_by(answer: Answer, receipt: Receipt, terms: Terms) -> bool:
    """Whether the receipt carries this answer's hash, and both speak of one request, answer, model and executor."""
    return answer.struct_hash() == receipt.answer_hash != ZERO32 and (
        (answer.payer, answer.lane, answer.generation, answer.executor)
        == (receipt.payer, receipt.lane, receipt.generation, receipt.payee)
        and (answer.request_id, answer.request_hash, answer.response_hash, answer.model)
        == (receipt.request_id, receipt.request_hash, receipt.response_hash, terms.model)
    )


def answer_from_json(value: object) -> SignedAnswer:
    """The reverse of `SignedAnswer.to_json`; the signature is not checked here. Raises BadVoucher."""
    if not isinstance(value, Mapping):
        raise BadVoucher("an answer must be a JSON object", field="answer")
    return SignedAnswer(message_from_json(Answer, value.get("answer")), signature_of(value.get("signature")))
