"""Canaries: duels whose right verdict is known, and the judges that a dispatcher finds lazy by them."""

import json
import random
from collections import defaultdict
from contextlib import AsyncExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from typer.testing import CliRunner

from node.adapters.chain.abi import Interface, load_artifact
from node.adapters.keys import recover
from node.api.duels import DuelServices, duel_routes
from node.cli import duels as command
from node.core.duel_facts import DuelFacts, MemberFacts
from node.core.duels import Vote
from node.core.errors import BadConfig, PeerFailed
from node.core.evidence import evidence_from
from node.core.judging.canary import Care, Tally, ballots, canary_verdict, next_tally
from node.core.judging.case import Case, Judgement
from node.core.judging.exact import question_key
from node.core.quality import MOST, Topic
from node.core.ratings import Sprt
from node.core.types import ZERO32, Address, Amount, Bytes32
from node.core.wire import hex_of
from node.duelling import add_duels, duel_jobs, probe_questions
from node.ports.routing import Purchase
from node.services.duel_canaries import Canaries
from node.services.duel_ratings import MOST_UNSHOWN
from node.services.judging import CHAT
from node.settings import load_settings
from tests.duels import court_lab
from tests.duels.court_lab import MODEL, MODEL_ID, CourtLab, LabNode, MemoryStore, ready

QUESTION = "What is 2 + 2?"
KNOWN = {question_key(f"user: {QUESTION}"): ("number", "4")}
LAZY = 5
FILES = dict.fromkeys(("keystore", "password_file", "offer", "tokenizer"), "unused")


def case_of(question: str, first: str, second: str) -> Case:
    return Case(CHAT, {"messages": [{"role": "user", "content": question}]}, first, second)


# ------------------------------------------------------------------------------------------------------------ the core
@pytest.mark.parametrize(
    ("question", "first", "second", "verdict"),
    [
        (QUESTION, "It is 4.", "It is 5.", Vote.FIRST),
        (QUESTION, "Perhaps five.", "so 4", Vote.SECOND),
        (QUESTION, "4", "4", None),
        (QUESTION, "5", "6", None),
        ("What is 2 + 3?", "4", "5", None),
    ],
)
def test_canary__known_question__only_if_one_answer_alone_is_right(
    question: str, first: str, second: str, verdict: Vote | None
) -> None:
    assert canary_verdict(KNOWN, case_of(question, first, second)) is verdict


def member(number: int) -> MemberFacts:
    address = Address(bytes([number]) * 20)
    return MemberFacts(address, address, address, is_active=True)


def test_ballots__several_seats_of_one_judge__are_one_vote_and_no_evidence_is_none() -> None:
    places = {0: 1, 1: 1, 2: 2, 3: 3, 4: 4, 5: 2}
    votes = {0: Vote.FIRST, 1: Vote.FIRST, 2: Vote.SECOND, 3: Vote.NO_EVIDENCE, 5: Vote.FIRST}
    members = {number: member(number) for number in range(1, 5)}
    found = ballots(DuelFacts(places=places, votes=votes), members)
    assert found == {members[1].provider: Vote.FIRST, members[2].provider: Vote.SECOND}


def lazy_chances(accuracy: float, canaries: int) -> list[float]:
    """Exact chance that a judge of that accuracy has been found lazy after each canary."""
    chances, lazy, found = {0.0: 1.0}, 0.0, []
    for _ in range(canaries):
        following: dict[float, float] = defaultdict(float)
        for ratio, chance in chances.items():
            for is_right, share in ((True, accuracy), (False, 1.0 - accuracy)):
                after = next_tally(Tally(test=Sprt(ratio)), is_right=is_right)
                if after.care is Care.LAZY:
                    lazy += chance * share
                else:  # a test that cleared starts anew
                    following[0.0 if after.care is Care.HONEST else round(after.test.ratio, 9)] += chance * share
        chances = following
        found.append(lazy)
    return found


def test_lazy__a_coin_flipper__is_found_as_soon_as_stated() -> None:
    """Half the duels being canaries, sixty duels are thirty canaries (design: ejected in at most sixty duels)."""
    found = lazy_chances(0.5, 120)
    mean = sum(1.0 - chance for chance in (0.0, *found))
    assert mean == pytest.approx(21, abs=1)
    assert 2 * mean < 60
    assert (round(found[29], 2), round(found[59], 2)) == (0.79, 0.98)


def test_lazy__an_honest_judge__is_found_as_seldom_as_stated() -> None:
    assert lazy_chances(0.8, 30)[-1] < 0.01
    assert lazy_chances(0.9, 60)[-1] < 0.001


def test_lazy__who_always_ties__is_found_in_five_canaries() -> None:
    assert lazy_chances(0.0, 5)[-1] == 1.0


# ------------------------------------------------------------------------------------------------- on the real contract
class CoinFlipper:
    """ports.Judge that reads nothing."""

    def __init__(self) -> None:
        self.dice = random.Random(2)

    async def judge(self, case: Case) -> Judgement:
        return Judgement(self.dice.choice([Vote.FIRST, Vote.SECOND]), "a feeling")


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> CourtLab:
    """Executors say 4 or 5, by their quality; honest judges can tell."""
    monkeypatch.setattr(court_lab, "GOOD", ("4",))
    monkeypatch.setattr(court_lab, "BAD", ("5",))
    lab = ready(1.0, 0.0, 1.0, 0.0)
    canaries_of(lab)
    return lab


def canaries_of(lab: CourtLab) -> Canaries:
    made = Canaries(lab, lab.dispatcher.store, KNOWN)  # type: ignore[arg-type]
    lab.dispatcher.duelling.canaries = made
    return made


async def asked(lab: CourtLab, executor: LabNode, question: str = QUESTION) -> None:
    """The dispatcher's probe, answered by one executor first."""
    to = lab.member(executor.me)
    assert to is not None
    body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": question}]})
    purchase = Purchase(to, CHAT, body, ZERO32, 1, 0, Amount(1), Amount(1), Amount(9), 1.0, 1.0)
    lab.dispatcher.duelling.note(lab.answered(purchase))
    await lab.dispatcher.duelling.settle()


async def test_canaries__a_judge_that_flips_a_coin__is_found_lazy_and_it_alone(sums: CourtLab) -> None:
    lab, canaries = sums, sums.dispatcher.duelling.canaries
    assert canaries is not None
    lazy = lab.nodes[LAZY]
    lazy.judging.judge = CoinFlipper()
    for _ in range(4):
        await lab.next_epoch()
        for number in range(15):
            for node in lab.nodes[1:5]:  # who is right changes: nobody is slashed out of the court
                lab.qualities[node.me] = 1.0 - lab.qualities[node.me]
            await asked(lab, lab.nodes[1 + number % 4])
        await lab.until_over(seconds=40)
    await canaries.refresh()
    cares = {judge: tally.care for judge, tally in canaries.tallies.items()}
    assert cares.pop(lazy.me) is Care.LAZY
    assert Care.LAZY not in cares.values()
    assert Care.HONEST in cares.values()
    assert 20 < canaries.counted < len(lab.facts), "of some duels both answers were right, or both wrong"
    shown = canaries.show()
    assert shown["judges"][0]["judge"] == hex_of(lazy.me)
    assert shown["judges"][0]["finding"] == "lazy"
    again = canaries_of(lab)
    await again.refresh()
    assert again.show() == shown, "a restart counts the same"


async def test_canaries__an_unknown_question__counts_nobody(sums: CourtLab) -> None:
    lab, canaries = sums, sums.dispatcher.duelling.canaries
    assert canaries is not None
    await lab.next_epoch()
    await asked(lab, lab.nodes[1], "What is 3 + 1?")
    await lab.until_over(seconds=40)
    await canaries.refresh()
    assert canaries.show() == {"canaries": 0, "judges": []}


async def test_note__evidence_that_nobody_can_read__is_no_canary(sums: CourtLab) -> None:
    lab, canaries = sums, sums.dispatcher.duelling.canaries
    assert canaries is not None
    await lab.next_epoch()
    await asked(lab, lab.nodes[1])
    await asked(lab, lab.nodes[2])
    case = next(iter(lab.dispatcher.store.cases.values()))
    assert evidence_from(case.evidence).body
    store: Any = lab.dispatcher.store
    store.canaries.clear()
    await canaries.note(SimpleNamespace(duel=Bytes32(b"\x01" * 32), evidence=b"no json"))  # type: ignore[arg-type]
    assert not store.canaries


# ------------------------------------------------------------------------------------------------------ shown, and set
def services(canaries: Canaries) -> httpx.ASGITransport:
    app = FastAPI()
    app.include_router(duel_routes(DuelServices(None, None, canaries)))  # type: ignore[arg-type]
    return httpx.ASGITransport(app)


async def test_judges__over_http__are_what_the_node_counted() -> None:
    canaries = Canaries(None, MemoryStore(), KNOWN)  # type: ignore[arg-type]
    canaries.tallies[Address(b"\x02" * 20)] = next_tally(Tally(), is_right=False)
    said = await command.fetch_judges("http://node/", services(canaries))
    row = {"judge": "0x" + "02" * 20, "right": 0, "wrong": 1, "finding": "open"}
    assert said == {"canaries": 0, "judges": [row]}


@pytest.mark.parametrize("reply", [httpx.Response(404), httpx.Response(200, text="hm"), httpx.Response(200, json=[1])])
async def test_judges__not_a_node_with_duels__is_one_sentence(reply: httpx.Response) -> None:
    with pytest.raises(PeerFailed, match="duels on"):
        await command.fetch_judges("http://node", httpx.MockTransport(lambda _: reply))


def test_command__judges__is_a_table_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetched(_node: str) -> dict[str, Any]:
        return {"canaries": 3, "judges": [{"judge": "0x02", "right": 1, "wrong": 2, "finding": "lazy"}]}

    monkeypatch.setattr(command, "fetch_judges", fetched)
    shown = CliRunner().invoke(command.app, ["judges", "--node", "http://node"])
    assert (shown.exit_code, "3 canaries" in shown.output, "lazy" in shown.output) == (0, True, True)
    said = CliRunner().invoke(command.app, ["judges", "--node", "http://node", "--json"])
    assert json.loads(said.stdout)["judges"][0]["wrong"] == 2


def test_probes__ask_known_questions_too(tmp_path: Path) -> None:
    known, lines = tmp_path / "known.json", tmp_path / "lines"
    known.write_text(json.dumps([{"question": QUESTION, "kind": "number", "answer": "4"}]))
    lines.write_text("why?\n\n")
    settings: Any = SimpleNamespace(canaries=known, probe_questions=lines)
    assert probe_questions(settings) == [QUESTION, "why?"]
    assert probe_questions(SimpleNamespace(canaries=None, probe_questions=None)) == []  # type: ignore[arg-type]
    known.write_text("[]")
    with pytest.raises(BadConfig):
        probe_questions(SimpleNamespace(canaries=known, probe_questions=None))  # type: ignore[arg-type]
    with pytest.raises(BadConfig):
        probe_questions(SimpleNamespace(canaries=None, probe_questions=tmp_path / "none"))  # type: ignore[arg-type]


def node_parts(sums: CourtLab) -> tuple[Any, Any]:
    """What app.py has built before duels, of the lab's dispatcher."""
    node = sums.dispatcher
    market = SimpleNamespace(payee=node.me, domain=sums.world.chain.domain)
    parts: Any = SimpleNamespace(market=market, signer=node.signer, recover=recover, clock=sums.clock)
    deployment = SimpleNamespace(chain_id=31337, duels=sums.court.address)
    chain = SimpleNamespace(deployment=deployment, duels=Interface.of(load_artifact("Duels")))
    books = SimpleNamespace(chain=sums, duels=node.store, outbox=sums)
    basis: Any = SimpleNamespace(chain=chain, books=books, gas_key=node.signer)
    return parts, basis


async def test_node__with_known_questions__counts_canaries_by_them(sums: CourtLab, tmp_path: Path) -> None:
    known = tmp_path / "known.json"
    known.write_text(json.dumps([{"question": QUESTION, "kind": "number", "answer": "4"}]))
    settings = load_settings({"duels": True, "canaries": str(known), "payee": "0x" + "ab" * 20, **FILES}, {})
    parts, basis = node_parts(sums)
    network: Any = SimpleNamespace(membership=sums, peers=sums)
    async with AsyncExitStack() as stack:
        duelled = add_duels(settings, parts, basis, (network, None), stack)
    assert duelled is not None
    assert duelled.services.canaries.known == KNOWN
    assert "canaries" in [job.name for job in duel_jobs(duelled, settings)]
    assert duelled.probes is None, "a node that buys nothing probes nobody"


async def test_node__dispatching__its_routing_hears_of_answers_that_no_judge_could_be_shown(sums: CourtLab) -> None:
    evader = sums.nodes[1].me
    settings = load_settings({"duels": True, "duel_rate_per_mille": 50, "payee": "0x" + "ab" * 20, **FILES}, {})
    parts, basis = node_parts(sums)
    router: Any = SimpleNamespace(quality=None)
    market = SimpleNamespace(payer=SimpleNamespace(address=sums.dispatcher.me), watch=lambda _: None)
    routed: Any = SimpleNamespace(services=SimpleNamespace(router=router), market=market)
    async with AsyncExitStack() as stack:
        network: Any = SimpleNamespace(membership=sums, peers=sums)
        duelled = add_duels(settings, parts, basis, (network, routed), stack)
    assert duelled is not None
    assert duelled.dispatching is not None
    for _ in range(MOST_UNSHOWN):
        duelled.dispatching.shown(evader, False)
    assert router.quality(evader, Topic(MODEL_ID, 0), 0.3) == MOST
