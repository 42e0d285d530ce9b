"""Bids both ways: who is answered, what is believed, and what is only silence."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest

from node.adapters.keys import LocalSigner, Secret, recover
from node.core.bids import bid_from_json
from node.core.errors import BadRequest, PeerFailed, WrongSignature
from node.core.hashing import Domain, keccak
from node.core.membership.members import Liveness, Member, Registered
from node.core.messages import ModelOffer, Offer
from node.core.routing.config import ProviderConfig
from node.core.routing.enquiry import Question, question_to_json
from node.core.routing.load import EngineLimits
from node.core.routing.types import RouteRequest, Skip
from node.core.types import ZERO32, ZERO_ADDRESS, Address, Amount, Bytes32, Micros, Seconds
from node.ports.network import Limits, PeerReply
from node.services.backends import Backend, Backends
from node.services.bids import MOST_PROMISES, Answerer, Asker, Identity, QuestionMaker
from node.services.routing_meter import Meters
from node.services.routing_policies import Policies
from node.services.routing_view import OwnView

DOMAIN = Domain.of(31337, Address(b"\xee" * 20))
ME, ASKER, STRANGER = (Address(bytes([n]) * 20) for n in (1, 2, 3))
KEYS = {name: LocalSigner(Secret(bytes([n]) * 32)) for n, name in enumerate((ME, ASKER, STRANGER), start=1)}
MODEL = ModelOffer("m", ZERO32, ZERO32, Amount(10), Amount(20), 2_048, 512)
OFFER = Offer(ME, 1, (MODEL,), Amount(0), Seconds(0), Seconds(2**40))
NOW = 1_800_000_000.0
REQUEST = Bytes32(b"\x11" * 32)


class Clock:
    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 1_000.0


class Offers:
    def current(self) -> Offer:
        return OFFER

    def quoted(self, _: Bytes32, __: Seconds) -> Offer:
        return OFFER


@dataclass
class Members:
    found: dict[Address, Member] = field(default_factory=dict)

    def alive(self, payee: Address) -> bool:
        return payee in self.found

    def member(self, payee: Address) -> Member | None:
        return self.found.get(payee)

    def members(self) -> Mapping[Address, Member]:
        return self.found

    def report_failure(self, payee: Address) -> None:
        self.found.pop(payee)


def member_of(payee: Address) -> Member:
    return Member(Registered(payee, KEYS[payee].address, "http://x"), Liveness.ALIVE, is_alive=True, incarnation=1)


def identity_of(payee: Address) -> Identity:
    return Identity(payee, KEYS[payee], recover, DOMAIN, Clock())


def make_answerer(config: ProviderConfig | None = None, *, engine: bool = True, me: Address = ME) -> Answerer:
    backends = Backends({"m": [Backend(object(), "m")] if engine else []}, Clock())  # type: ignore[arg-type]
    view = OwnView(backends, Meters(EngineLimits(10_000, 4, 512)), Clock())
    members = Members({ASKER: member_of(ASKER)})
    policies = Policies(config=config or ProviderConfig())
    return Answerer(identity_of(me), members, policies, view, Random(1), Offers())


QUESTION = Question(
    ASKER, ME, REQUEST, Bytes32(b"\x22" * 32), MODEL.model, 100, 50, 0, Micros(int(NOW * 1e6)), (ASKER,)
)


def asked(question: Question = QUESTION, key: LocalSigner | None = None) -> dict[str, Any]:
    signer = key or KEYS[question.asker]
    return question_to_json(question, signer.sign(DOMAIN.digest(question.struct_hash())))


def test_answer__registered_asker__gets_a_signed_bid_for_its_request() -> None:
    said = make_answerer().answer(asked())
    signed = bid_from_json(said["bid"])
    row = signed.bid.row_of(MODEL.model)
    assert recover(DOMAIN.digest(signed.bid.struct_hash()), signed.signature) == KEYS[ME].address
    assert signed.bid.request_id == REQUEST
    assert row is not None
    assert (row.price_prompt, row.price_completion, row.free_slots) == (10, 20, 4)


def test_answer__asker_not_registered__is_not_answered() -> None:
    with pytest.raises(WrongSignature):
        make_answerer().answer(asked(replace(QUESTION, asker=STRANGER)))


def test_answer__signed_by_somebody_else__is_not_answered() -> None:
    with pytest.raises(WrongSignature):
        make_answerer().answer(asked(key=KEYS[STRANGER]))


@pytest.mark.parametrize(
    "changed",
    [{"asked": STRANGER}, {"issued_at": Micros(int((NOW - 600) * 1e6))}, {"issued_at": Micros(int((NOW + 600) * 1e6))}],
)
def test_answer__for_another_or_at_another_time__is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        make_answerer().answer(asked(replace(QUESTION, **changed)))


@pytest.mark.parametrize("body", [None, [], {}, {"path": 1}, {"path": ["0x" + "00" * 20] * 9}])
def test_answer__malformed__is_refused(body: object) -> None:
    with pytest.raises(BadRequest):
        make_answerer().answer(body)


def reason_of(said: dict[str, Any]) -> str:
    found: str = said["refusal"]["reason"]
    return found


def test_answer__own_name_on_the_path__refuses() -> None:
    said = make_answerer().answer(asked(replace(QUESTION, path=(ME, ASKER))))
    assert reason_of(said) == Skip.ON_PATH


def test_answer__unknown_model__refuses() -> None:
    assert reason_of(make_answerer().answer(asked(replace(QUESTION, model=keccak(b"other"))))) == Skip.NO_MODEL


def test_answer__no_engine__refuses() -> None:
    assert reason_of(make_answerer(engine=False).answer(asked())) == Skip.NO_MODEL


def test_answer__blocked_asker__refuses() -> None:
    config = ProviderConfig(blocklist=frozenset({ASKER}))
    assert reason_of(make_answerer(config).answer(asked())) == Skip.BLOCKLISTED


def test_has_promised__after_a_bid__to_its_asker_alone() -> None:
    answerer = make_answerer()
    answerer.answer(asked())
    assert answerer.has_promised(ASKER, QUESTION.origin)
    assert not answerer.has_promised(ZERO_ADDRESS, QUESTION.origin)
    assert not answerer.has_promised(ASKER, ZERO32)


def test_has_promised__many_questions__forgets_the_oldest() -> None:
    answerer = make_answerer()
    for number in range(MOST_PROMISES + 1):
        answerer._remember(replace(QUESTION, origin=Bytes32(number.to_bytes(32, "big"))))
    assert not answerer.has_promised(ASKER, Bytes32((0).to_bytes(32, "big")))
    assert answerer.has_promised(ASKER, Bytes32(MOST_PROMISES.to_bytes(32, "big")))


def test_standing_rows__a_row_a_model_while_it_would_serve() -> None:
    assert [row.model for row in make_answerer().standing_rows()] == [MODEL.model]
    assert make_answerer(ProviderConfig(draining=True)).standing_rows() == []


class Peer:
    """ports.Peers with one canned reply."""

    def __init__(self, document: Mapping[str, object] | Exception) -> None:
        self._document = document

    async def post_json(self, _member: Member, _path: str, _body: object, _limits: Limits) -> PeerReply:
        if isinstance(self._document, Exception):
            raise self._document
        return PeerReply(200, self._document)


async def heard_by(document: Mapping[str, object] | Exception) -> Any:
    request = RouteRequest(REQUEST, ("m",), 100, 50, None, (ASKER,))
    maker = QuestionMaker(ASKER, request, QUESTION.origin, MODEL.model, QUESTION.issued_at)
    asker = Asker(identity_of(ASKER), Peer(document))  # type: ignore[arg-type]
    (heard,) = await asker.ask_all([member_of(ME)], maker)
    return heard


async def test_ask__a_bid__is_priced_and_kept_as_evidence() -> None:
    heard = await heard_by(make_answerer().answer(asked()))
    assert heard.bid is not None
    assert heard.bid.price == 1  # 100 prompt and 50 completion tokens, rounded up once
    assert heard.evidence["payee"] == "0x" + ME.hex()


async def test_ask__a_refusal__keeps_its_reason_and_signature() -> None:
    heard = await heard_by(make_answerer(ProviderConfig(draining=True)).answer(asked()))
    assert (heard.bid, heard.reason) == (None, Skip.REFUSED_DRAINING)
    assert heard.evidence["signature"].startswith("0x")


async def test_ask__silence__is_a_time_out() -> None:
    assert (await heard_by(PeerFailed("nobody"))).reason is Skip.TIMED_OUT


async def test_ask__bid_signed_by_another_key__is_no_bid() -> None:
    answerer = make_answerer()
    answerer._identity = replace(answerer._identity, signer=KEYS[STRANGER])
    assert (await heard_by(answerer.answer(asked()))).reason is Skip.TIMED_OUT


async def test_ask__bid_for_another_request__is_no_bid() -> None:
    other = replace(QUESTION, request_id=Bytes32(b"\x99" * 32))
    assert (await heard_by(make_answerer().answer(asked(other)))).reason is Skip.TIMED_OUT


async def test_ask__refusal_of_another_request__is_no_refusal() -> None:
    other = replace(QUESTION, request_id=Bytes32(b"\x99" * 32))
    said = make_answerer(ProviderConfig(draining=True)).answer(asked(other))
    assert (await heard_by(said)).reason is Skip.TIMED_OUT


@pytest.mark.parametrize("document", [{}, {"bid": 1}, {"refusal": {"reason": "because"}}])
async def test_ask__nonsense__is_a_time_out(document: dict[str, object]) -> None:
    assert (await heard_by(document)).reason is Skip.TIMED_OUT
