"""The executor's word: due for whole answers to other nodes, one and the same for ever, the receipt's own."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.adapters.keys import LocalSigner, Secret, recover
from node.client.verify import Problem, check_answer
from node.core.account import Admission
from node.core.answers import SignedAnswer, answer_from_json, is_named_by
from node.core.errors import BadVoucher
from node.core.hashing import Domain
from node.core.messages import Answer, Receipt
from node.core.types import ZERO32, Address, Bytes32, Status
from node.services.answers import AnswerSigner
from tests.factories import make_admission, make_receipt

pytestmark = pytest.mark.unit

DOMAIN = Domain.of(31337, Address(b"\x0e" * 20))
OPERATOR = LocalSigner(Secret(b"\x07" * 32))
ANSWERED = Bytes32(b"\x0a" * 32)


def answers(key: LocalSigner = OPERATOR) -> AnswerSigner:
    return AnswerSigner(key, DOMAIN, lambda _: OPERATOR.address)


def bought(hops: int = 1, request_id: bytes = b"\x01" * 32) -> Admission:
    admission = make_admission(request_id=request_id)
    return replace(admission, terms=replace(admission.terms, hops=hops))


def receipt_to(admission: Admission, named: Bytes32) -> Receipt:
    key, terms = admission.key, admission.terms
    return replace(
        make_receipt(),
        payer=key.payer,
        payee=key.payee,
        lane=key.lane,
        generation=key.generation,
        request_id=terms.request_id,
        request_hash=terms.request_hash,
        response_hash=ANSWERED,
        answer_hash=named,
        status=int(Status.COMPLETE),
    )


def signed() -> tuple[Admission, Receipt, SignedAnswer]:
    admission = bought()
    receipt = receipt_to(admission, answers().hash_for(admission, Status.COMPLETE, ANSWERED))
    word = answers().signed(admission, receipt)
    assert word is not None
    return admission, receipt, word


def test_signed__whole_answer_to_a_node__is_the_operators_and_named_by_the_receipt() -> None:
    admission, receipt, word = signed()
    assert is_named_by(word.answer, receipt, admission.terms)
    assert recover(DOMAIN.digest(word.answer.struct_hash()), word.signature) == OPERATOR.address
    assert answer_from_json(word.to_json()) == word


def test_signed__in_another_process_and_again__is_the_very_same() -> None:
    admission, receipt, word = signed()
    assert answers().signed(admission, receipt) == word
    assert answers().hash_for(admission, Status.COMPLETE, ANSWERED) == receipt.answer_hash


def test_nonce__other_request_other_lane_or_other_key__is_another() -> None:
    admission, _, word = signed()
    other_lane = replace(admission, key=replace(admission.key, lane=Address(b"\x99" * 20)))
    hashes = {
        answers(key).hash_for(one, Status.COMPLETE, ANSWERED)
        for key, one in (
            (OPERATOR, admission),
            (OPERATOR, bought(request_id=b"\x02" * 32)),
            (OPERATOR, other_lane),
            (LocalSigner(Secret(b"\x08" * 32)), admission),
        )
    }
    assert len(hashes) == 4
    assert word.answer.nonce_commit not in (ZERO32, admission.request_id)


@pytest.mark.parametrize(
    ("hops", "status"), [(0, Status.COMPLETE), (1, Status.PARTIAL), (1, Status.FAILED), (2, Status.CANCELLED)]
)
def test_hash_for__client_of_its_own_or_no_whole_answer__names_none(hops: int, status: Status) -> None:
    admission = bought(hops)
    assert answers().hash_for(admission, status, ANSWERED) == ZERO32
    assert answers().signed(admission, receipt_to(admission, ZERO32)) is None


def test_signed__by_another_operator_key_or_under_another_secret__is_none() -> None:
    admission, receipt, _ = signed()
    stranger = LocalSigner(Secret(b"\x08" * 32))
    assert answers(stranger).signed(admission, receipt) is None
    foreign = AnswerSigner(stranger, DOMAIN, lambda _: stranger.address)
    assert foreign.signed(admission, receipt) is None, "the hash it would make is not the one the receipt names"


@pytest.mark.parametrize("document", [None, [], {}, {"answer": {}, "signature": "0x"}, "word"])
def test_answer_from_json__malformed__is_refused(document: Any) -> None:
    with pytest.raises(BadVoucher):
        answer_from_json(document)


CHANGES: dict[str, Callable[[Answer], Answer]] = {
    "request_id": lambda one: replace(one, request_id=ANSWERED),
    "request_hash": lambda one: replace(one, request_hash=ANSWERED),
    "response_hash": lambda one: replace(one, response_hash=ZERO32),
    "model": lambda one: replace(one, model=ANSWERED),
    "executor": lambda one: replace(one, executor=Address(b"\x44" * 20)),
    "payer": lambda one: replace(one, payer=Address(b"\x44" * 20)),
    "lane": lambda one: replace(one, lane=Address(b"\x44" * 20)),
    "generation": lambda one: replace(one, generation=one.generation + 1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_check_answer__one_member_is_anothers_even_if_the_receipt_names_it__is_a_problem(change: str) -> None:
    admission, receipt, word = signed()
    check_answer(word.answer, OPERATOR.address, (receipt, admission.terms, OPERATOR.address))
    bent = CHANGES[change](word.answer)
    for named in (receipt, replace(receipt, answer_hash=bent.struct_hash())):
        with pytest.raises(Problem, match="wrong_answer"):
            check_answer(bent, OPERATOR.address, (named, admission.terms, OPERATOR.address))


def test_check_answer__signed_by_somebody_else__is_a_problem() -> None:
    admission, receipt, word = signed()
    with pytest.raises(Problem, match="wrong_answer_signer"):
        check_answer(word.answer, Address(b"\x44" * 20), (receipt, admission.terms, OPERATOR.address))
