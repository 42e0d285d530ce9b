"""The node's duelling services on the real contract: every phase, restarts, vanished actors, refused evidence."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import httpx
import pytest

from node.adapters.keys.sealing import SealedBox
from node.api.hot import MAX_BODY_BYTES
from node.audit.rpc import Rpc
from node.audit.verify import Scope, verify
from node.audit.web import Web
from node.core.choices import Choice, canonical_json
from node.core.duel_facts import DuelState
from node.core.duels import Vote, is_duel
from node.core.errors import BadVoucher, NotFound, WrongSignature
from node.core.evidence import EVIDENCE_SECONDS, EvidenceWish, case_from, evidence_from
from node.core.facts import Cursor
from node.core.hashing import keccak
from node.core.judging.case import Case, Judgement
from node.core.quality import MOST, SIZE_NAMES, SIZES, Topic
from node.core.ratings import Finding
from node.core.types import ZERO32, Address, Amount, Flag, Seconds
from node.core.wire import hex_of
from node.ports.duels import SeedOnChain
from node.ports.routing import Bargain
from node.services.duel import MOST_AT_ONCE
from node.services.duel_cases import BYTES_A_TOKEN, MOST_BYTES, SLACK_BYTES, can_be_shown, choices_of
from node.services.duel_evidence import FETCH, MOST_LETTERS
from node.services.duel_ratings import MOST_UNSHOWN, Ratings
from node.services.judging import CHAT
from node.services.probes import Probe, Probes
from tests.duels.court_lab import MODEL, MODEL_ID, CourtLab, LabNode, LabPurchase, ready
from tests.frauds.auditing import deployment_of, no_pause
from tests.frauds.serving import Served


async def opened(lab: CourtLab, executor: LabNode) -> None:
    """One duel, opened."""
    await lab.next_epoch()
    await lab.offload(executor)
    await lab.dispatcher.run()
    assert lab.mine() >= 1
    assert [one.state for one in lab.facts.values()] == [DuelState.OPENED], lab.refused


async def judging(lab: CourtLab, executor: LabNode) -> None:
    """One duel, its judges drawn."""
    await opened(lab, executor)
    lab.move(4, 5)
    await lab.dispatcher.run()
    lab.mine()
    assert next(iter(lab.facts.values())).state is DuelState.JUDGING, lab.refused


async def test_duel__good_against_bad__ends_for_the_good_and_its_evidence_is_deleted() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    assert lab.dispatcher.store.cases
    await lab.until_over()
    (duel,) = lab.facts.values()
    assert duel.state is DuelState.FIRST_WON
    assert set(duel.votes.values()) == {Vote.FIRST}
    assert duel.second == lab.nodes[2].me
    assert duel.prize > 0
    await lab.turn()
    assert not lab.dispatcher.store.cases


async def test_duel__every_node_restarted_at_every_turn__ends_all_the_same() -> None:
    """What is not in the books is lost between any two steps; no vote is lost with it."""
    lab = ready(0.0, 1.0)
    await lab.next_epoch()
    await lab.offload(lab.nodes[1])
    for _ in range(60):
        for node in lab.nodes:
            node.restart()
        await lab.turn(seconds=40)
        if lab.facts and all(one.is_over for one in lab.facts.values()):
            break
    (duel,) = lab.facts.values()
    assert duel.state is DuelState.SECOND_WON
    assert len(duel.votes) == 5


async def test_rate__part_of_the_requests__exactly_those_that_the_seed_names() -> None:
    lab = ready(1.0, 0.0, rate=400)
    await lab.next_epoch()
    bargains = [await lab.offload(lab.nodes[1]) for _ in range(20)]
    epoch = lab.time // (await lab.duels.read_rules()).epoch
    seed = lab.dispatcher.store.seeds[epoch]
    answers = [one.answer.answer for one in bargains]
    due = [one.request_id for one in answers if is_duel(seed, one.request_id, one.nonce_commit, 400)]
    assert 0 < len(due) < 20
    assert sorted(one.first.answer.request_id for one in lab.dispatcher.store.cases.values()) == sorted(due)


async def test_note__a_client_that_forbids_duels__buys_no_second_answer() -> None:
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    await lab.offload(lab.nodes[1], flags=int(Flag.NO_DUEL))
    assert not lab.bought
    assert not lab.dispatcher.store.cases


async def test_second__the_drawn_one_refuses__the_next_draw_is_taken_and_counted() -> None:
    lab = ready(1.0, 0.5, 0.5)
    lab.refusing.add(lab.nodes[2].me)
    await lab.next_epoch()
    for _ in range(4):
        await lab.offload(lab.nodes[1])
    cases = list(lab.dispatcher.store.cases.values())
    assert {one.second.answer.executor for one in cases} == {lab.nodes[3].me}
    for _ in range(4):
        await lab.dispatcher.run()
        lab.mine()
    assert len(lab.facts) == 4, lab.refused


async def test_note__the_user_waits_for_the_last_event__nothing_is_looked_at_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Books and second answers may take what they want, once the first answer and its receipt are with the user."""
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    duelling, bargain = lab.dispatcher.duelling, await lab.offload(lab.nodes[1])
    begun = asyncio.Event()
    head = lab.dispatcher.parts.blocks.load_cursor

    async def load_cursor() -> Cursor | None:
        begun.set()
        return await head()

    monkeypatch.setattr(lab.dispatcher.parts.blocks, "load_cursor", load_cursor)
    duelling.after_seconds = 0.05
    duelling.note(bargain)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not begun.is_set()
    await duelling.settle()
    assert begun.is_set()


async def test_second__first_executor_never_enrolled__is_not_bought() -> None:
    """Registered, selling, and in no court: the opening would be refused, after the second answer was paid for."""
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    bargain = await lab.offload(lab.nodes[1])
    answer = replace(bargain.answer.answer, executor=Address(b"\x77" * 20))
    lab.bought.clear()
    lab.dispatcher.duelling.note(replace(bargain, answer=replace(bargain.answer, answer=answer)))
    await lab.dispatcher.duelling.settle()
    assert not lab.bought
    assert lab.dispatcher.duelling.skipped == {"its executor is not enrolled": 1}


async def test_second__the_bond_is_not_there__is_not_bought(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = ready(1.0, 0.0)
    await lab.next_epoch()

    async def less(account: Address) -> int:
        return (await lab.duels.read_rules()).bond - 1

    monkeypatch.setattr(lab.duels, "read_balance", less)
    await lab.offload(lab.nodes[1])
    assert not lab.bought
    assert lab.dispatcher.duelling.skipped == {"the court's balance does not cover the bond": 1}


async def test_second__nobody_left_to_judge__is_not_bought() -> None:
    """Two executors and a dispatcher have weight and nobody else: a draw would find no judges, and void the bond."""
    lab = ready(1.0, 0.0)
    for node in lab.nodes[3:]:
        lab._book(lab._send(node.me, lab.duels._call("resign")))
    await lab.next_epoch()
    await lab.next_epoch()
    await lab.offload(lab.nodes[1])
    assert not lab.bought
    assert lab.dispatcher.duelling.skipped == {"no two answers that judges could be shown": 1}


def shown_as(lab: CourtLab, bargain: Bargain, raw: bytes, text: str) -> Bargain:
    """The same bargain with other bytes, signed for as `text`."""
    choices = canonical_json([Choice(0, text, "stop")])
    answer = replace(bargain.answer.answer, response_hash=keccak(bargain.salt + choices))
    return replace(bargain, raw=raw, answer=replace(bargain.answer, answer=answer))


async def test_choices__half_a_surrogate_in_a_plain_answer__are_what_was_signed() -> None:
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    bargain = await lab.offload(lab.nodes[1])
    raw = b'{"choices":[{"index":0,"message":{"content":"noise \\ud800"},"finish_reason":"stop"}]}'
    assert b"ud800" in choices_of(shown_as(lab, bargain, raw, "noise \ud800"))


@pytest.mark.parametrize("raw", [b"{", b'{"choices":[]}', b"data: nothing\n\n"])
async def test_second__bytes_that_were_not_signed_for__is_not_bought(raw: bytes) -> None:
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    bargain = await lab.offload(lab.nodes[1])
    lab.bought.clear()
    lab.dispatcher.duelling.note(replace(bargain, raw=raw))
    await lab.dispatcher.duelling.settle()
    assert not lab.bought
    assert lab.dispatcher.duelling.skipped.total() == 1


async def test_second__either_answer_too_long_for_its_tokens__is_not_duelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its evidence could not be fetched, so the duel would be void at the dispatcher's cost."""
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    bargain = await lab.offload(lab.nodes[1])
    lab.bought.clear()
    lab.dispatcher.store.cases.clear()
    text = "a" * (BYTES_A_TOKEN * 12 + SLACK_BYTES)
    raw = json.dumps({"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}).encode()
    long = shown_as(lab, bargain, raw, text)
    lab.dispatcher.duelling.note(long)
    await lab.dispatcher.duelling.settle()
    assert len(lab.bought) == 1, "one, to tell the executor's doing from the request's"
    assert not lab.dispatcher.store.cases
    monkeypatch.setattr(lab, "answered", lambda purchase: long)
    lab.dispatcher.duelling.note(bargain)
    await lab.dispatcher.duelling.settle()
    assert lab.bought
    assert not lab.dispatcher.store.cases
    assert lab.dispatcher.duelling.skipped.total() == 2


def test_can_be_shown__many_tokens__is_bounded_all_the_same() -> None:
    """Two of them and a request of 8 MiB, sealed and in base64 twice, are what a judge fetches at most."""
    choices = canonical_json([Choice(0, "a" * MOST_BYTES, "stop")])
    raw = b'{"choices":[{"index":0,"message":{"content":"%b"},"finish_reason":"stop"}]}' % (b"a" * MOST_BYTES)
    salt = bytes(32)
    answer = SimpleNamespace(answer=SimpleNamespace(response_hash=keccak(salt + choices)))
    receipt = SimpleNamespace(completion_tokens=10**6)
    assert not can_be_shown(SimpleNamespace(raw=raw, salt=salt, answer=answer, receipt=receipt))  # type: ignore[arg-type]
    assert FETCH.max_bytes > 16 / 9 * (2 * MOST_BYTES + MAX_BODY_BYTES)


async def test_shown__answers_above_the_bound_in_a_row__count_as_convicted_until_one_can_be_shown() -> None:
    """Else who pads every answer would never be duelled, and be routed to as a newcomer for ever."""
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    ratings, duelling, evader = Ratings(lab), lab.dispatcher.duelling, lab.nodes[1].me  # type: ignore[arg-type]
    duelling.shown = ratings.note_shown
    bargain = await lab.offload(lab.nodes[1])
    text = "a" * (BYTES_A_TOKEN * 12 + SLACK_BYTES)
    raw = json.dumps({"choices": [{"index": 0, "message": {"content": text}, "finish_reason": "stop"}]}).encode()
    long, topic = shown_as(lab, bargain, raw, text), Topic(MODEL_ID, 0)
    factors = []
    for one in (long, long, bargain, long, long, long, bargain):
        duelling.note(one)
        await duelling.settle()
        factors.append(ratings.factor(evader, topic, 0.3))
    assert factors == [1.0] * 5 + [MOST, 1.0]
    for _ in range(MOST_UNSHOWN):
        ratings.note_shown(evader, False)
    assert (ratings.factor(evader, topic, 0.0), ratings.factor(lab.nodes[2].me, topic, 0.3)) == (1.0, 1.0)


@pytest.mark.parametrize("fits", [(True, True), (True, False), (False, True), (False, False)])
async def test_shown__first_and_second_answer__are_told_of_where_one_can_be_shown(
    fits: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client may ask for blanks that nobody's answer fits, or name one peer alone: no word against any."""
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    seen: list[tuple[Address, bool]] = []
    first, second = (node.me for node in lab.nodes[1:3])
    bargain = await lab.offload(lab.nodes[1])
    lab.dispatcher.duelling.shown = lambda executor, is_shown: seen.append((executor, is_shown))
    by_executor = dict(zip((first, second), fits, strict=True))
    monkeypatch.setattr("node.services.duel.can_be_shown", lambda one: by_executor[one.answer.answer.executor])
    lab.dispatcher.duelling.note(bargain)
    await lab.dispatcher.duelling.settle()
    assert seen == ([(first, fits[0]), (second, fits[1])] if any(fits) else [])
    seen.clear()
    del lab.qualities[second]
    lab.dispatcher.duelling.note(bargain)
    await lab.dispatcher.duelling.settle()
    assert not seen


async def test_note__many_answers_end_at_once__the_due_one_is_duelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd of short answers would else hide a due one."""
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    bargain = await lab.offload(lab.nodes[1])
    lab.dispatcher.store.cases.clear()
    duelling, other = lab.dispatcher.duelling, replace(bargain.answer.answer, nonce_commit=ZERO32)
    not_due = replace(bargain, answer=replace(bargain.answer, answer=other))
    monkeypatch.setattr("node.services.duel.is_duel", lambda _seed, _id, nonce, _rate: nonce != ZERO32)
    for _ in range(2 * MOST_AT_ONCE):
        duelling.note(not_due)
    duelling.note(bargain)
    await duelling.settle()
    assert len(lab.dispatcher.store.cases) == 1


async def test_note__more_due_ones_than_are_held_at_once__are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    bargain, duelling = await lab.offload(lab.nodes[1]), lab.dispatcher.duelling
    monkeypatch.setattr("node.services.duel.MOST_AT_ONCE", 2)
    for _ in range(5):
        duelling.note(bargain)
    await duelling.settle()
    assert duelling.skipped == {"too many are under way": 3}


async def test_settle__a_second_answer_without_an_end__is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an executor that drips keeps a node from stopping, until it is killed."""
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    bargain, duelling = await lab.offload(lab.nodes[1]), lab.dispatcher.duelling
    ends = list[str]()

    async def read(_: LabPurchase) -> bytes:
        await asyncio.Event().wait()
        return b""

    monkeypatch.setattr(LabPurchase, "read", read)
    monkeypatch.setattr(LabPurchase, "cancel", lambda _: ends.append("cancelled"))
    duelling.note(bargain)
    await asyncio.wait_for(duelling.settle(0.05), 5)
    assert (ends, duelling._busy) == (["cancelled"], set())


async def test_second__nobody_else_serves_the_model__no_duel() -> None:
    lab = ready(1.0)
    await lab.next_epoch()
    await lab.offload(lab.nodes[1])
    assert not lab.dispatcher.store.cases


async def test_purchase__of_the_second__is_an_offload_like_the_first() -> None:
    """The executor's view: same path, bytes, hops, flags, prices, salt and id; only the payee differs (D6)."""
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    first = await lab.offload(lab.nodes[1])
    (second,) = lab.bought
    same = replace(second, member=first.purchase.member, twin=None, start_seconds=1.0, idle_seconds=1.0)
    assert same == first.purchase
    assert second.twin is not None
    assert (second.twin.salt, second.twin.request_id) == (first.salt, first.receipt.request_id)


async def test_open__near_the_end_of_an_epoch__is_not_tried() -> None:
    """It could land in the next one, where another seed would make it a wrong draw."""
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    await lab.offload(lab.nodes[1])
    length = (await lab.duels.read_rules()).epoch
    lab.move(1, length - lab.time % length - length // 16)
    await lab.dispatcher.run()
    assert not [one for one in lab.wishes if "open" in one.key]
    assert not lab.dispatcher.store.cases


async def test_open__several_cases__one_is_under_way_at_a_time() -> None:
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    for _ in range(3):
        await lab.offload(lab.nodes[1])
    for opened_so_far in range(3):
        for _ in range(2):
            await lab.dispatcher.run()
        assert len([one for one in lab.wishes if "open" in one.key]) == 1
        lab.mine()
        assert len(lab.facts) == opened_so_far + 1, lab.refused


def probes_of(lab: CourtLab) -> Probes:
    probe = Probe(MODEL, MODEL_ID, ["why?", "how?"], 16, Amount(1), Amount(1), Amount(9), len)
    return Probes(lab.dispatcher.me, probe, lab, lab, lab, lab.dice)


async def test_probe__somebody_serves_the_model__is_bought_as_an_offload_looks() -> None:
    lab = ready(1.0)
    await probes_of(lab).run()
    (purchase,) = lab.bought
    fields = json.loads(purchase.body)
    assert purchase.member.payee == lab.nodes[1].me
    assert (purchase.hops, purchase.flags, purchase.path) == (1, 0, CHAT)
    assert fields["wwwserve"] == {"path": [hex_of(lab.dispatcher.me)]}
    assert (fields["stream"], fields["messages"][0]["content"] in ("why?", "how?")) == (True, True)
    assert purchase.asked is not None
    assert (purchase.asked.prompt_tokens, purchase.asked.max_tokens) == (len(purchase.body), 16)


async def test_probe__nobody_serves_the_model_or_it_refuses__harms_nothing() -> None:
    lab = ready()
    await probes_of(lab).run()
    assert not lab.bought
    lab.qualities[lab.nodes[1].me] = 1.0
    lab.refusing.add(lab.nodes[1].me)
    await probes_of(lab).run()
    assert len(lab.bought) == 1


async def test_case__its_epoch_over_before_it_was_opened__is_dropped() -> None:
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    await lab.offload(lab.nodes[1])
    lab.move(1, (await lab.duels.read_rules()).epoch)
    await lab.dispatcher.run()
    assert not lab.dispatcher.store.cases
    assert not lab.facts


async def test_evidence__the_dispatcher_gone__voids_the_duel_at_the_last_call() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    lab.dispatcher.is_up = False
    await lab.turn(seconds=1)
    assert not next(iter(lab.facts.values())).commitments, "there is time left: no vote yet"
    await lab.until_over(seconds=30)
    (duel,) = lab.facts.values()
    assert duel.state is DuelState.VOIDED
    assert set(duel.votes.values()) == {Vote.NO_EVIDENCE}


async def test_draw__the_dispatcher_gone_after_opening__others_draw_and_end_it() -> None:
    lab = ready(1.0, 0.0)
    await opened(lab, lab.nodes[1])
    lab.dispatcher.is_up = False
    lab.move(4, 5)
    await lab.until_over(seconds=30)
    assert next(iter(lab.facts.values())).places


async def test_draw__missed_by_everybody__ends_void() -> None:
    lab = ready(1.0, 0.0)
    await opened(lab, lab.nodes[1])
    lab.move(400, 30)
    await lab.until_over()
    assert next(iter(lab.facts.values())).state is DuelState.VOIDED


async def test_judge__its_engine_down__ties_at_the_last_call() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    for node in lab.nodes:
        node.reference.is_down = True
    await lab.until_over(seconds=30)
    (duel,) = lab.facts.values()
    assert (duel.state, set(duel.votes.values())) == (DuelState.TIED, {Vote.TIE})


async def test_judge__an_answer_that_no_judge_can_read__ties_at_the_last_call() -> None:
    """Whatever is raised: five silent judges would be slashed, and the cheat pay nothing."""

    class Broken:
        async def judge(self, case: Case) -> Judgement:
            raise TypeError("surrogates not allowed")

    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    for node in lab.nodes:
        node.judging.judge = Broken()
    await lab.turn(seconds=1)
    assert not next(iter(lab.facts.values())).commitments, "there is time left: no vote yet"
    await lab.until_over(seconds=30)
    (duel,) = lab.facts.values()
    assert (duel.state, set(duel.votes.values())) == (DuelState.TIED, {Vote.TIE})


async def test_run__one_duel_fails__the_others_are_attended_and_it_is_told() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    judge = seated(lab, sits=True)
    (duel,) = lab.facts
    lab.facts = {keccak(b"another"): replace(lab.facts[duel], places=None), duel: lab.facts[duel]}  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        await judge.run()
    assert judge.store.votes[duel]


async def test_reveal__a_vote_that_is_not_in_the_books__is_not_made_up() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    await lab.turn(seconds=1)
    for node in lab.nodes:
        node.store.votes.clear()
    await lab.until_over(seconds=60)
    assert not next(iter(lab.facts.values())).votes


# ------------------------------------------------------------------------------------------------------------- evidence
def wish_of(
    lab: CourtLab, judge: LabNode, at: int | None = None, key: bytes | None = None, holder: LabNode | None = None
) -> dict[str, str]:
    """Of the dispatcher, or of another holder."""
    (duel,) = lab.facts
    address = SealedBox().address if key is None else key
    asked = (holder or lab.dispatcher).me
    wish = EvidenceWish(duel, judge.me, asked, address, Seconds(lab.time if at is None else at))
    signature = judge.signer.sign(lab.world.chain.domain.digest(wish.struct_hash()))
    words = {"duelId": hex_of(duel), "judge": hex_of(judge.me), "sealingKey": hex_of(address)}
    return {**words, "at": str(wish.at), "signature": hex_of(signature)}


def seated(lab: CourtLab, *, sits: bool) -> LabNode:
    (duel,) = lab.facts.values()
    places = set(duel.places.values())
    return next(one for one in lab.nodes if (lab.court_facts.place_of(one.me) in places) is sits)


async def test_desk__a_drawn_judge__gets_what_proves_itself_against_the_chain() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    judge = seated(lab, sits=True)
    case = await judge.judging.evidence.find(*next(iter(lab.facts.items())), Seconds(lab.time))
    assert case is not None
    assert case.fields["messages"][0]["content"].startswith("q ")
    assert case.first.split()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda lab: wish_of(lab, seated(lab, sits=False)), NotFound),
        (lambda lab: {**wish_of(lab, seated(lab, sits=True)), "judge": hex_of(lab.nodes[1].me)}, WrongSignature),
        (lambda lab: wish_of(lab, seated(lab, sits=True), at=lab.time - EVIDENCE_SECONDS - 1), BadVoucher),
        (lambda lab: wish_of(lab, seated(lab, sits=True), key=b"\x05" * 33), BadVoucher),
        (lambda lab: [], BadVoucher),
    ],
)
async def test_desk__whoever_must_not_have_it__is_refused(
    spoil: Callable[[CourtLab], object], error: type[Exception]
) -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    with pytest.raises(error):
        await lab.dispatcher.desk.answer(spoil(lab))


async def test_desk__evidence_deleted__is_refused() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    lab.dispatcher.store.cases.clear()
    with pytest.raises(NotFound):
        await lab.dispatcher.desk.answer(wish_of(lab, seated(lab, sits=True)))


async def test_desk__one_judge_again_and_again__is_served_so_often_and_one_at_a_time() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    judge, desk = seated(lab, sits=True), lab.dispatcher.desk
    ends = await asyncio.gather(*(desk.answer(wish_of(lab, judge)) for _ in range(2)), return_exceptions=True)
    assert [isinstance(end, NotFound) for end in ends] == [False, True]
    for _ in range(MOST_LETTERS - 1):
        await desk.answer(wish_of(lab, judge))
    with pytest.raises(NotFound):
        await desk.answer(wish_of(lab, judge))


async def test_judge__its_engine_down_for_long__asks_for_the_evidence_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    judge, (duel,) = seated(lab, sits=True), lab.facts
    judge.reference.is_down = True
    for _ in range(MOST_LETTERS + 2):
        await judge.run()
    assert sum(lab.dispatcher.desk._sent.values()) == 1
    assert judge.store.held
    judge.reference.is_down = False
    await judge.run()
    assert judge.store.votes[duel]


async def test_case__anything_changed__is_no_evidence() -> None:
    lab = ready(1.0, 0.0)
    await judging(lab, lab.nodes[1])
    (duel,) = lab.facts.values()
    raw = next(iter(lab.dispatcher.store.cases.values())).evidence
    evidence = evidence_from(raw)
    assert evidence.document() == raw
    swapped = replace(evidence, first=evidence.second, second=evidence.first).document()
    other = replace(evidence, body=b"{}").document()
    with pytest.raises(BadVoucher, match="size"):
        case_from(raw, replace(duel, size=1))
    for bent in (swapped, other, b"[]", b"no json"):
        with pytest.raises(BadVoucher):
            case_from(bent, duel)
        with pytest.raises(BadVoucher):
            case_from(bent, replace(duel, evidence_root=keccak(bent)))


def test_sealed__another_box_or_a_changed_byte__does_not_open() -> None:
    from node.adapters.keys.sealing import seal

    box = SealedBox()
    letter = seal(b"words", box.address)
    assert box.open(letter) == b"words"
    for wrong in (letter[:-1] + bytes([letter[-1] ^ 1]), letter[:20], b""):
        with pytest.raises(BadVoucher):
            box.open(wrong)
    with pytest.raises(BadVoucher):
        SealedBox().open(letter)


# ---------------------------------------------------------------------------------------------------------------- seeds
async def test_seeds__an_epoch_later__are_revealed() -> None:
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    length = (await lab.duels.read_rules()).epoch
    epoch = lab.time // length
    lab.move(1, length - lab.time % length)
    await lab.turn(seconds=1)
    assert (await lab.duels.read_seed(lab.dispatcher.me, epoch)).is_revealed


async def test_seeds__late_in_an_epoch__commit_to_nothing() -> None:
    """It could land in the next epoch, for a seed that could never be revealed."""
    lab = ready(1.0, 0.0)
    length = (await lab.duels.read_rules()).epoch
    lab.move(1, length - lab.time % length + length // 2 + 1)
    await lab.dispatcher.run()
    assert not lab.wishes


async def test_seeds__rate_set_to_zero_and_restarted__what_was_committed_is_revealed() -> None:
    """Nothing more is committed to, and the last commitment costs no slash."""
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    length = (await lab.duels.read_rules()).epoch
    epoch = lab.time // length
    lab.dispatcher.rate = 0
    lab.dispatcher.restart()
    lab.move(1, length - lab.time % length)
    await lab.dispatcher.duelling.seeds.attend()
    lab.mine()
    assert (await lab.duels.read_seed(lab.dispatcher.me, epoch)).is_revealed
    assert not lab.refused
    assert not (await lab.duels.read_seed(lab.dispatcher.me, epoch + 2)).rate_per_mille


async def test_seeds__told_once_that_it_is_revealed__is_revealed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    length = (await lab.duels.read_rules()).epoch
    epoch = lab.time // length
    real, lies = lab.duels.read_seed, [True]

    async def read_seed(dispatcher: Address, of: int) -> SeedOnChain:
        found = await real(dispatcher, of)
        return replace(found, is_revealed=True) if of == epoch and lies and lies.pop() else found

    monkeypatch.setattr(lab.duels, "read_seed", read_seed)
    lab.move(1, length - lab.time % length)
    await lab.turn(seconds=1)
    assert not lies
    await lab.turn(seconds=1)
    assert (await real(lab.dispatcher.me, epoch)).is_revealed


async def test_seeds__asked_for_each_offload_of_an_epoch__read_the_chain_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = ready(1.0, 0.0)
    seeds, real, asked = lab.dispatcher.duelling.seeds, lab.duels.read_seed, list[int]()

    async def read_seed(dispatcher: Address, of: int) -> SeedOnChain:
        asked.append(of)
        return await real(dispatcher, of)

    monkeypatch.setattr(lab.duels, "read_seed", read_seed)
    now = lab.time // (await lab.duels.read_rules()).epoch
    assert await seeds.of_epoch(now) is None
    assert await seeds.of_epoch(now) is None
    assert asked == [now, now], "what is not there yet, or not shown yet, is asked for again"
    await lab.next_epoch()
    asked.clear()
    now = lab.time // (await lab.duels.read_rules()).epoch
    known = await seeds.of_epoch(now)
    assert known is not None
    assert (await seeds.of_epoch(now), asked) == (known, [now])
    assert known[0] == lab.dispatcher.store.seeds[now]


async def test_seeds__the_database_lost__the_same_seed_is_made_again() -> None:
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    length = (await lab.duels.read_rules()).epoch
    epoch = lab.time // length
    lab.dispatcher.store.seeds.clear()
    lab.move(1, length - lab.time % length)
    await lab.turn(seconds=1)
    assert (await lab.duels.read_seed(lab.dispatcher.me, epoch)).is_revealed, lab.refused


# -------------------------------------------------------------------------------------------------------------- ratings
async def test_ratings__many_duels__order_the_executors_and_convict_the_bad_one_alone() -> None:
    """Three executors: whole, slightly and badly degraded. Verdicts alone must tell them apart."""
    lab = ready(1.0, 0.8, 0.1)
    executors = lab.nodes[1:4]
    for _ in range(4):
        await lab.next_epoch()
        for number in range(18):
            await lab.offload(executors[number % 3])
        await lab.until_over(seconds=40)
    await lab.nodes[5].ratings.refresh()
    quality = lab.nodes[5].ratings.quality
    topic = Topic(MODEL_ID, 0)
    strengths = [quality.rating(one.me, topic).strength for one in executors]
    assert strengths == sorted(strengths, reverse=True)
    findings = [quality.record(one.me, MODEL_ID).test.finding for one in executors]
    assert findings[2] is Finding.CONVICTED
    assert findings[0] is not Finding.CONVICTED
    assert quality.factor(executors[2].me, topic, 0.3) > 1.0 > quality.factor(executors[0].me, topic, 0.3)
    assert quality.factor(executors[2].me, topic, 0.0) == 1.0
    shown = lab.nodes[5].ratings.show()["ratings"]
    assert (shown[0]["provider"], shown[0]["model"]) == (hex_of(executors[0].me), hex_of(MODEL_ID))
    assert [one["size"] for one in shown[0]["sizes"]] == [SIZE_NAMES[0]]
    assert shown[0]["sizes"][0]["duels"] == shown[0]["duels"]


async def test_open__a_long_request__names_its_model_and_size_on_chain() -> None:
    lab = ready(1.0, 0.0)
    await lab.next_epoch()
    for padding in (0, SIZES[0], SIZES[1]):
        await lab.offload(lab.nodes[1], padding=padding)
        await lab.dispatcher.run()
        lab.mine()
    assert [(one.model, one.size) for one in lab.facts.values()] == [(MODEL_ID, 0), (MODEL_ID, 1), (MODEL_ID, 2)]
    await lab.until_over()
    assert {one.state for one in lab.facts.values()} == {DuelState.FIRST_WON}


# ------------------------------------------------------------------------------------------------------------ the audit
async def test_audit__duels_of_the_nodes_own_services__finds_nothing_wrong() -> None:
    """Draws, opponents, votes, verdicts and money of a won, a tied and a void duel, derived again from chain data."""
    lab = ready(1.0, 0.0, 1.0)
    await lab.next_epoch()
    for number in (0, 2, 0, 2):
        await lab.offload(lab.nodes[1 + number % 3])
    await lab.until_over(seconds=40)
    await lab.offload(lab.nodes[1])
    await lab.dispatcher.run()
    lab.mine()
    lab.dispatcher.store.cases.clear()  # no evidence for this one
    await lab.until_over(seconds=30)
    length = (await lab.duels.read_rules()).epoch
    lab.move(1, length - lab.time % length)
    await lab.turn(seconds=1)
    assert {one.state for one in lab.facts.values()} >= {DuelState.FIRST_WON, DuelState.VOIDED}
    history = lab.history()
    client = httpx.Client(transport=Served(history).transport())
    found = verify(
        deployment_of(history), [Rpc("http://127.0.0.1/rpc", client, no_pause)], Web(client, True, no_pause), Scope()
    )
    assert found.court is not None
    assert len(found.court.duels) == 5
    assert [(one.code, one.message) for one in found.report.findings] == []
