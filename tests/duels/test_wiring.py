"""Settings, known answers and the quality wish: what an operator or client writes, refused where it is wrong."""

from dataclasses import replace
from math import exp
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.core.duel_facts import CourtFacts, MemberFacts
from node.core.errors import BadConfig, BadRequest
from node.core.judging.exact import question_key
from node.core.quality import LEAST, MOST, NEWCOMER, NOTHING_KNOWN, Quality, Record, Topic
from node.core.ratings import Finding, Rating, Sprt
from node.core.routing.config import BadProviderConfig, build_config
from node.core.routing.trust import scaled
from node.core.routing.types import Forecast
from node.core.types import Address, Bytes32
from node.duelling import Duelled, duel_jobs, read_answers
from node.routed import _payer_of
from node.services.duel_ratings import Ratings
from node.services.routing_wishes import parse_wishes

WHO = Address(b"\x01" * 20)
TOPIC, OTHER_MODEL = Topic(Bytes32(b"\x02" * 32), 0), Bytes32(b"\x03" * 32)


def known(rating: Rating, test: Sprt = NOTHING_KNOWN.test) -> Quality:
    """What verdicts say of WHO with the model of TOPIC."""
    return Quality({(WHO, TOPIC.model): Record(rating, test=test)})


def test_wishes__quality__is_a_share() -> None:
    assert parse_wishes({"quality": 0.5}).quality == 0.5
    assert parse_wishes({}).quality is None
    for wrong in (1.5, -1, True, "much"):
        with pytest.raises(BadRequest):
            parse_wishes({"quality": wrong})


def test_config__quality_weight__is_a_share() -> None:
    assert build_config({"quality_weight": 0.0}).quality_weight == 0.0
    with pytest.raises(BadProviderConfig):
        build_config({"quality_weight": 1.5})


def test_factor__newcomer_good_bad_convicted__in_that_sense() -> None:
    good, bad = Rating(2.0, 0.3, 50), Rating(-3.0, 0.3, 50)
    assert Quality().factor(WHO, TOPIC, 1.0) == 1.0
    assert known(good).factor(WHO, TOPIC, 1.0) < 1.0 < known(bad).factor(WHO, TOPIC, 1.0)
    assert known(Rating(99.0, 0.1)).factor(WHO, TOPIC, 1.0) == LEAST
    convicted = known(good, Sprt(finding=Finding.CONVICTED))
    assert convicted.factor(WHO, TOPIC, 0.1) == MOST
    assert convicted.factor(WHO, TOPIC, 0.0) == 1.0
    assert convicted.factor(WHO, Topic(OTHER_MODEL, 0), 1.0) == 1.0, "with another model it is a newcomer"
    assert scaled(Forecast(1.0, 2.0, 3.0), 2.0) == Forecast(2.0, 4.0, 6.0)


def test_known_answers__of_a_file__by_the_question(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    file.write_text('[{"question": "2 + 2?", "kind": "number", "answer": "4"}]')
    assert read_answers(file) == {question_key("user: 2 + 2?"): ("number", "4")}


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"question": "q", "kind": "guess", "answer": "4"}]'])
def test_known_answers__not_such_a_list__is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "known.json"
    file.write_text(text)
    with pytest.raises(BadConfig):
        read_answers(file)


def test_known_answers__no_file__is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig):
        read_answers(tmp_path / "none.json")


def test_offload_payer__no_address__is_refused() -> None:
    settings: Any = SimpleNamespace(offload_payer="0x12")
    with pytest.raises(BadConfig):
        _payer_of(settings)
    settings.offload_payer = "0x" + "AB" * 20
    assert _payer_of(settings) == b"\xab" * 20
    settings.offload_payer = ""
    assert _payer_of(settings) is None


def test_jobs__without_duels__are_none() -> None:
    assert duel_jobs(None, SimpleNamespace()) == ()  # type: ignore[arg-type]


def test_jobs__without_a_wallet_or_rate__still_reveal_what_was_committed() -> None:
    services = SimpleNamespace(
        ratings=SimpleNamespace(refresh=None), canaries=SimpleNamespace(refresh=None), desk=SimpleNamespace(tidy="tidy")
    )
    seeds: Any = SimpleNamespace(attend="attend")
    duelled = Duelled(services, seeds, None, None, None)  # type: ignore[arg-type]
    jobs = {job.name: job for job in duel_jobs(duelled, SimpleNamespace())}  # type: ignore[arg-type]
    assert jobs["seeds"].work == "attend"  # type: ignore[comparison-overlap]
    assert jobs["evidence"].work == "tidy", "a judge that was switched off still deletes"  # type: ignore[comparison-overlap]


async def test_factor__not_enrolled_where_duels_are_held__is_no_newcomer() -> None:
    """It would keep a newcomer's bonus for ever: nobody without a place in court is ever duelled."""
    member = MemberFacts(WHO, WHO, WHO, is_active=True)

    class Book:
        def __init__(self) -> None:
            self.members = {1: member}

        async def load_court(self) -> CourtFacts:
            return CourtFacts(self.members)

        async def load_ended(self, after: tuple[int, int]) -> list[Any]:
            return []

    other = Address(b"\x09" * 20)
    book = Book()
    ratings = Ratings(book)  # type: ignore[arg-type]
    await ratings.refresh()
    assert ratings.factor(other, TOPIC, 0.3) == 1.0, "it holds no duels itself"
    ratings.dispatches = True
    await ratings.refresh()
    assert ratings.factor(WHO, TOPIC, 0.3) == 1.0
    assert ratings.factor(other, TOPIC, 0.3) == pytest.approx(exp(0.3 * NEWCOMER.sigma))
    book.members = {1: replace(member, is_active=False)}
    await ratings.refresh()
    assert ratings.factor(WHO, TOPIC, 0.3) > 1.0
