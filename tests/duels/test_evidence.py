"""Evidence that judges show each other (threat D12), on the real contract: withheld, late, false, after restarts."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from node.core.duel_facts import JUDGES, DuelState
from node.core.duels import Vote
from node.core.errors import LedgerUnavailable, NotFound, PeerFailed
from node.core.evidence import SLOTS, whom_to_ask
from node.core.membership.members import Member
from node.core.types import Address, Bytes32, Seconds
from node.core.wire import hex_of
from node.ports.network import Limits, PeerReply
from node.services.duel_evidence import COMMIT_PARTS, MOST_LETTERS
from tests.duels.court_lab import CourtLab, LabNode, ready
from tests.duels.test_course import judging, seated, wish_of

DISPATCHER, OTHERS = Address(b"d" * 20), [Address(bytes([number]) * 20) for number in range(6)]
TICK = 10
"""Seconds between looks: some thirty in a commit window."""


@dataclass
class Miser:
    """A desk that shows evidence to chosen judges only, from a time on."""

    lab: CourtLab
    desk: Any
    chosen: set[Address]
    since: float = 0.0

    async def answer(self, document: dict[str, str]) -> dict[str, str]:
        if document["judge"] not in {hex_of(one) for one in self.chosen} or self.lab.time < self.since:
            raise NotFound("this node holds no evidence of that duel")
        return await self.desk.answer(document)  # type: ignore[no-any-return]

    async def tidy(self) -> None:
        await self.desk.tidy()


def bench_of(lab: CourtLab) -> list[LabNode]:
    """Who sits, in whatever trial."""
    (duel,) = lab.facts.values()
    seats = set(duel.places.values())
    return [node for node in lab.nodes if lab.court_facts.place_of(node.me) in seats]


async def withheld(*, since: Callable[[CourtLab], float] = lambda lab: 0.0) -> tuple[CourtLab, list[LabNode]]:
    """A duel that the first is to win, and a dispatcher that shows its evidence to one judge of several."""
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    bench = bench_of(lab)
    assert len(bench) >= 3
    lab.dispatcher.desk = Miser(lab, lab.dispatcher.desk, {bench[0].me}, since(lab))  # type: ignore[assignment]
    return lab, bench


async def committed(lab: CourtLab) -> None:
    """Look again and again until the commit window is over."""
    (duel,) = lab.facts
    while lab.time < lab.facts[duel].commit_end:
        await lab.turn(seconds=TICK)


# ------------------------------------------------------------------------------------------------------ whom and when
def test_whom__early__the_dispatcher_and_each_other_judge_in_turn() -> None:
    asked = [whom_to_ask(DISPATCHER, OTHERS[:4], slot, is_first=False) for slot in range(SLOTS // 2)]
    assert all(one[0] == DISPATCHER and len(one) == 2 for one in asked)
    assert {one[1] for one in asked} == set(OTHERS[:4])


def test_whom__late__not_the_dispatcher_but_every_judge_of_a_bench_before_the_last_call_and_at_it() -> None:
    """Shown to one judge in the last moment of the first half, it still reaches all of them."""
    late = [whom_to_ask(DISPATCHER, OTHERS[:4], slot, is_first=False) for slot in range(SLOTS // 2, SLOTS * 3 // 4)]
    assert sorted(one for asked in late for one in asked) == OTHERS[:4]
    assert sorted(whom_to_ask(DISPATCHER, OTHERS[:4], SLOTS * 3 // 4, is_first=False)) == OTHERS[:4]


def test_whom__started_late_or_alone_on_the_bench__asks_the_dispatcher() -> None:
    last = SLOTS - 1
    assert whom_to_ask(DISPATCHER, OTHERS[:1], last, is_first=True) == [DISPATCHER, OTHERS[0]]
    assert whom_to_ask(DISPATCHER, [], last, is_first=False) == [DISPATCHER]


def test_whom__a_jury__is_asked_in_small_numbers() -> None:
    assert max(len(whom_to_ask(DISPATCHER, OTHERS, slot, is_first=True)) for slot in range(SLOTS)) == 5


# ------------------------------------------------------------------------------------------------------- whole duels
async def test_duel__evidence_shown_to_one_judge_only__ends_as_the_full_bench_decides() -> None:
    lab, bench = await withheld()
    await committed(lab)
    await lab.until_over()
    (duel,) = lab.facts.values()
    assert duel.state is DuelState.FIRST_WON
    assert list(duel.votes.values()) == [Vote.FIRST] * JUDGES
    assert {judge for _, judge in lab.dispatcher.desk.desk._sent} == {bench[0].me}  # type: ignore[attr-defined]


async def test_duel__shown_to_one_judge_just_before_the_half__ends_as_the_full_bench_decides() -> None:
    lab, _ = await withheld(since=lambda lab: lab.time + 135.0)
    await committed(lab)
    await lab.until_over()
    (duel,) = lab.facts.values()
    assert list(duel.votes.values()) == [Vote.FIRST] * JUDGES


async def test_duel__shown_to_one_judge_at_the_last_call__is_asked_for_no_more() -> None:
    """The others could not have it from that judge in time: all five say "no evidence", and the bond is lost."""
    lab, _ = await withheld(since=lambda lab: lab.time + 160.0)
    await committed(lab)
    await lab.until_over()
    (duel,) = lab.facts.values()
    assert (duel.state, set(duel.votes.values())) == (DuelState.VOIDED, {Vote.NO_EVIDENCE})


async def test_duel__withheld_and_every_node_restarted_at_every_turn__ends_as_the_full_bench_decides() -> None:
    lab, bench = await withheld()
    (duel,) = lab.facts
    while not lab.facts[duel].is_over:
        for node in lab.nodes:
            node.restart()
        lab.dispatcher.desk = Miser(lab, lab.dispatcher.desk, {bench[0].me})  # type: ignore[assignment]
        await lab.turn(seconds=TICK)
    assert list(lab.facts[duel].votes.values()) == [Vote.FIRST] * JUDGES


async def test_jury__the_dispatcher_shows_it_nothing__votes_by_what_the_judges_hold() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    (duel,) = lab.facts
    judges = {node.me for node in bench_of(lab)}
    rules = await lab.duels.read_rules()
    await committed(lab)
    while lab.time < lab.facts[duel].commit_end + rules.reveal:
        await lab.turn(seconds=TICK)
    loser = lab.nodes[2]
    lab._book(lab._send(loser.me, lab.duels._call("appeal", duel, "0x" + loser.me.hex())))
    lab.dispatcher.is_up = False
    for node in lab.nodes:
        node.restart()
    lab.move(4, 5)
    while lab.facts[duel].state is DuelState.APPEALED:
        await lab.turn(seconds=TICK)
    jurors = {node.me for node in bench_of(lab)} - judges
    assert jurors, "somebody sits who was no judge"
    await committed(lab)
    await lab.until_over()
    votes = lab.facts[duel].votes
    assert [votes[seat] for seat in range(JUDGES, JUDGES + 15)] == [Vote.FIRST] * 15
    await lab.turn()
    assert not any(node.store.held for node in lab.nodes)


# ------------------------------------------------------------------------------------------------- liars and slow ones
async def test_duel__other_judges_lie_or_hang__the_one_that_has_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs its own time-out; and none is waited for longer than a small part of the window."""
    lab, bench = await withheld()
    real, waits = lab.post_json, []
    liars = {node.me for node in bench[1:]}

    async def post_json(member: Member, path: str, body: object, limits: Limits) -> PeerReply:
        waits.append(limits.seconds)
        if member.payee not in liars:
            return await real(member, path, body, limits)
        if member.payee == bench[1].me:
            raise PeerFailed("late")
        return PeerReply(200, {"sealed": "bGllcw=="})

    monkeypatch.setattr(lab, "post_json", post_json)
    await committed(lab)
    await lab.until_over()
    (duel,) = lab.facts.values()
    assert list(duel.votes.values()) == [Vote.FIRST] * JUDGES
    assert max(waits) <= (await lab.duels.read_rules()).commit / COMMIT_PARTS


async def test_find__the_dispatcher_lies__the_next_is_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    real, ((duel, facts),) = lab.post_json, lab.facts.items()
    judge, *others = bench_of(lab)
    for node in others:
        await node.run()

    async def post_json(member: Member, path: str, body: object, limits: Limits) -> PeerReply:
        if member.payee == lab.dispatcher.me:
            return PeerReply(200, {"sealed": "bGllcw=="})
        return await real(member, path, body, limits)

    monkeypatch.setattr(lab, "post_json", post_json)
    assert await judge.judging.evidence.find(duel, facts, Seconds(lab.time)) is not None


async def test_find__asked_all_through_the_trial__asks_in_the_retrial_and_is_forgotten_after_it() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    judge, ((duel, facts),) = seated(lab, sits=True), lab.facts.items()
    reader, cases = judge.judging.evidence, lab.dispatcher.store.cases
    lab.dispatcher.store.cases = {}
    assert await reader.find(duel, facts, Seconds(facts.commit_end - 1)) is None
    lab.dispatcher.store.cases = cases
    assert await reader.find(duel, facts, Seconds(facts.commit_end - 1)) is None, "once a slot"
    again = replace(facts, commit_end=Seconds(facts.commit_end + 1000))
    assert await reader.find(duel, again, Seconds(facts.commit_end + 700)) is not None
    await lab.until_over()
    await judge.run()
    assert not reader._asked


async def test_find__nobody_shows_it__asks_so_often_and_votes_in_the_last_quarter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    lab.dispatcher.store.cases.clear()
    judge, (duel,) = seated(lab, sits=True), lab.facts
    real, asked = lab.post_json, []

    async def post_json(member: Member, path: str, body: object, limits: Limits) -> PeerReply:
        asked.append(lab.time)
        return await real(member, path, body, limits)

    monkeypatch.setattr(lab, "post_json", post_json)
    commit, end = (await lab.duels.read_rules()).commit, lab.facts[duel].commit_end
    while not judge.store.votes:
        await judge.run()
        lab.move(1, 2)
    assert lab.time - 2 - (end - commit // 4) in range(2)
    assert 12 < len(asked) <= 2 * SLOTS
    assert max(map(asked.count, asked)) <= 5


# ----------------------------------------------------------------------------------------------------- what judges keep
async def test_judge__its_engine_down_and_restarted_and_the_dispatcher_gone__judges_what_it_keeps() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    judge, (duel,) = seated(lab, sits=True), lab.facts
    judge.reference.is_down = True
    await judge.run()
    lab.dispatcher.is_up = judge.reference.is_down = False
    judge.restart()
    await judge.run()
    assert {vote.vote for vote in judge.store.votes[duel].values()} == {Vote.FIRST}


async def test_judges_desk__a_stranger__is_refused_and_another_judge_served() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    holder, other, *_ = bench_of(lab)
    await holder.run()
    with pytest.raises(NotFound, match="no seat"):
        await holder.desk.answer(wish_of(lab, seated(lab, sits=False), holder=holder))
    with pytest.raises(NotFound, match="holds no evidence"):
        await other.desk.answer(wish_of(lab, holder, holder=other))
    assert (await holder.desk.answer(json.loads(json.dumps(wish_of(lab, other, holder=holder)))))["sealed"]


async def test_duel__the_dispatcher_shows_judges_wishes_to_the_others__they_are_served_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is asked first; with the wish it could use up the letters that other holders have for that judge."""
    lab, bench = await withheld()
    holder, real = bench[0], lab.post_json

    async def post_json(member: Member, path: str, body: object, limits: Limits) -> PeerReply:
        if member.payee == lab.dispatcher.me and body["judge"] != hex_of(holder.me):  # type: ignore[index]
            held = lab.member(holder.me)
            assert held is not None
            for _ in range(MOST_LETTERS):
                await real(held, path, body, limits)
        return await real(member, path, body, limits)

    monkeypatch.setattr(lab, "post_json", post_json)
    await committed(lab)
    await lab.until_over()
    (duel,) = lab.facts.values()
    assert list(duel.votes.values()) == [Vote.FIRST] * JUDGES


async def test_tidy__the_end_not_final__is_kept_until_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    before, real = lab.block, lab.load_cursor

    async def load_cursor() -> Any:
        return replace(await real(), finalised=before)

    monkeypatch.setattr(lab, "load_cursor", load_cursor)
    await lab.until_over()
    holder = bench_of(lab)[0]
    await holder.desk.tidy()
    assert holder.store.held, "a reorganisation may bring the duel back, and its jury"
    monkeypatch.undo()
    await holder.desk.tidy()
    assert not holder.store.held


async def test_tidy__a_duel_that_the_books_do_not_know__is_kept_for_an_epoch() -> None:
    """After a reorganisation, or while the books are read anew."""
    lab = ready(1.0, 0.0)
    node, epoch = lab.nodes[3], (await lab.duels.read_rules()).epoch
    await node.store.keep_evidence(Bytes32(b"\x01" * 32), b"evidence", Seconds(lab.time))
    await node.desk.tidy()
    assert node.store.held
    lab.move(1, epoch)
    await node.desk.tidy()
    assert not node.store.held


async def test_find__kept_evidence_of_another_opening__is_dropped_and_asked_for_anew() -> None:
    """A reorganisation: the same duel, opened again over another answer."""
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    judge, ((duel, facts),) = seated(lab, sits=True), lab.facts.items()
    await judge.store.keep_evidence(duel, b"{}", Seconds(lab.time))
    assert await judge.judging.evidence.find(duel, facts, Seconds(lab.time)) is not None
    assert judge.store.held[duel][0] == lab.dispatcher.store.cases[duel].evidence


@pytest.mark.parametrize("down", ["load_evidence", "keep_evidence"])
async def test_judge__its_books_down_at_the_last_call__votes_nothing_blindly(
    down: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    judge, ((duel, facts),) = seated(lab, sits=True), lab.facts.items()
    lab.move(1, facts.commit_end - lab.time - 20)

    async def locked(*_: object) -> None:
        raise LedgerUnavailable("locked")

    monkeypatch.setattr(judge.store, down, locked)
    with pytest.raises(LedgerUnavailable):
        await judge.run()
    assert duel not in judge.store.votes
    monkeypatch.undo()
    await judge.run()
    assert {vote.vote for vote in judge.store.votes[duel].values()} == {Vote.FIRST}
