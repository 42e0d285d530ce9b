"""The protocol's rules: who is believed what, what is sent when, what liars can and cannot do."""

from collections import Counter

from node.core.membership.beliefs import ACCUSATION_BURST
from node.core.membership.members import Liveness, Registered
from node.core.membership.news import FRESH_SECONDS, News
from node.core.membership.packets import RUMOUR_BYTES, Draft, Kind
from node.core.membership.rumours import Rumour, RumourKind, SignedRumour
from node.core.membership.settings import SwimSettings
from node.core.membership.swim import RELAYS_PER_SECOND, Relay, Send, Swim
from node.core.membership.tally import Dropped, Event
from node.core.types import ZERO_ADDRESS, Amount, Signature
from tests.unit.membership_makers import key, make_bid, notary, payee, registry, rumour, swim

SETTINGS = SwimSettings()


def alive(author: int, incarnation: int = 1) -> SignedRumour:
    return rumour(author, Rumour(RumourKind.ALIVE, payee(author), incarnation))


def suspect(accuser: int, subject: int, incarnation: int = 1) -> SignedRumour:
    return rumour(accuser, Rumour(RumourKind.SUSPECT, payee(subject), incarnation, payee(accuser)))


def tell(machine: Swim, *rumours: SignedRumour, now: float = 1.0, sender: int = 2) -> Draft:
    answer = machine.on_request(payee(sender), Draft(Kind.NEWS, rumours=rumours), now)
    assert isinstance(answer, Draft)
    return answer


def knowing(count: int) -> Swim:
    """Node 1 of `count`, all of whom have said that they live."""
    machine = swim(1, count)
    tell(machine, *(alive(n) for n in range(2, count + 1)))
    return machine


def state(machine: Swim, number: int) -> Liveness:
    member = machine.member(payee(number), 0.0)
    assert member is not None
    return member.state


def pings(sends: list[Send]) -> list[Send]:
    return [send for send in sends if send.draft.kind is Kind.PING]


def next_probe(machine: Swim, now: float) -> Send:
    """Tick until a probe leaves."""
    for step in range(200):
        found = pings(machine.tick(now + step * 0.01))
        if found:
            return found[0]
    raise AssertionError("no probe")


def test_member__registered_but_never_heard_of__is_no_candidate() -> None:
    machine = swim(1, 3)
    assert state(machine, 2) is Liveness.UNKNOWN
    assert not machine.is_alive(payee(2))
    assert machine.is_alive(payee(1))
    assert not machine.is_alive(payee(9))
    assert machine.member(payee(9), 0.0) is None


def test_word__of_the_subject__is_believed_and_passed_on() -> None:
    machine = swim(1, 3)
    answer = tell(machine, alive(3, 5))
    assert machine.is_alive(payee(3))
    assert alive(3, 5) in answer.rumours


def test_word__signed_by_somebody_else__is_dropped_and_counted() -> None:
    machine = swim(1, 3)
    tell(machine, rumour(2, Rumour(RumourKind.ALIVE, payee(3), 5)))
    assert not machine.is_alive(payee(3))
    assert machine.tally.dropped == {Dropped.RUMOUR_FORGED: 1}


def test_word__of_an_unregistered_subject_or_accuser__is_dropped_and_counted() -> None:
    machine = knowing(3)
    tell(machine, alive(9), suspect(9, 2))
    assert machine.tally.dropped == {Dropped.RUMOUR_UNKNOWN_SUBJECT: 2}
    assert state(machine, 2) is Liveness.ALIVE


def test_word__of_an_earlier_life__changes_nothing() -> None:
    machine = swim(1, 3)
    tell(machine, alive(3, 5))
    tell(machine, alive(3, 4), suspect(2, 3, 4))
    assert state(machine, 3) is Liveness.ALIVE


def test_suspicion__on_anothers_word__leaves_the_candidate_in_until_it_has_stood() -> None:
    machine = knowing(3)
    tell(machine, suspect(2, 3), now=1.0)
    assert state(machine, 3) is Liveness.SUSPECTED
    assert machine.is_alive(payee(3))
    machine.tick(1.0 + SETTINGS.suspicion_of(3) - 0.01)
    assert machine.is_alive(payee(3))
    machine.tick(1.0 + SETTINGS.suspicion_of(3))
    assert state(machine, 3) is Liveness.DEAD
    assert not machine.is_alive(payee(3))
    assert machine.tally.events[Event.DIED] == 1


def test_suspicion__refuted_in_time__never_becomes_death() -> None:
    machine = knowing(3)
    tell(machine, suspect(2, 3), now=1.0)
    tell(machine, alive(3, 2), now=1.2)
    machine.tick(60.0)
    assert state(machine, 3) is Liveness.ALIVE


def test_suspicion__of_an_incarnation_nobody_has_signed__is_refuted_by_the_next_one() -> None:
    machine = knowing(3)
    tell(machine, suspect(2, 3, 2**62), now=1.0)
    assert state(machine, 3) is Liveness.SUSPECTED
    tell(machine, alive(3, 2), now=1.2)
    assert state(machine, 3) is Liveness.ALIVE


def test_suspicion__of_this_node__is_answered_at_once_with_a_higher_incarnation() -> None:
    machine = knowing(3)
    answer = tell(machine, suspect(2, 1, 100))
    words = [one.rumour for one in answer.rumours if one.rumour.subject == payee(1)]
    assert words == [Rumour(RumourKind.ALIVE, payee(1), 101)]
    assert machine.tally.events[Event.REFUTED] == 1
    tell(machine, suspect(2, 1, 2**62))
    assert machine.tally.events[Event.REFUTED] == 2
    tell(machine, suspect(2, 1, 100))  # an old one
    tell(machine, SignedRumour(Rumour(RumourKind.SUSPECT, payee(1), 200, payee(2)), Signature(b"\x01" * 65)))
    assert machine.tally.events[Event.REFUTED] == 2


def test_suspicions__of_one_accuser__are_limited() -> None:
    machine = swim(1, 60)
    tell(machine, *(alive(n) for n in range(2, 61)))
    tell(machine, *(suspect(2, n) for n in range(3, 61)))
    suspected = sum(state(machine, n) is Liveness.SUSPECTED for n in range(3, 61))
    assert suspected == int(ACCUSATION_BURST)
    assert machine.tally.dropped[Dropped.RUMOUR_FLOODED] == 58 - suspected


def test_another_process_of_this_payee__ahead_of_us__is_followed() -> None:
    machine = knowing(3)
    tell(machine, rumour(1, Rumour(RumourKind.ALIVE, payee(1), 500)))
    answer = tell(machine, suspect(2, 1, 500))
    assert any(one.rumour == Rumour(RumourKind.ALIVE, payee(1), 501) for one in answer.rumours)


def test_leaving__is_believed_at_once_and_a_later_life_brings_it_back() -> None:
    machine = knowing(3)
    tell(machine, rumour(3, Rumour(RumourKind.LEFT, payee(3), 1)))
    assert state(machine, 3) is Liveness.LEFT
    tell(machine, suspect(2, 3), alive(3, 1))
    assert state(machine, 3) is Liveness.LEFT
    tell(machine, alive(3, 2))
    assert machine.is_alive(payee(3))


def test_leave__tells_a_few_and_refutes_nothing_more() -> None:
    machine = knowing(6)
    goodbyes = machine.leave(2.0)
    assert len(goodbyes) == SETTINGS.fanout
    assert all(Rumour(RumourKind.LEFT, payee(1), 100) in [r.rumour for r in one.draft.rumours] for one in goodbyes)
    tell(machine, suspect(2, 1, 100))
    assert machine.tally.events[Event.REFUTED] == 0


def test_probe__answered__changes_nothing_and_costs_one_packet() -> None:
    machine = knowing(5)
    probe = next_probe(machine, 2.0)
    assert machine.on_reply(probe, Draft(Kind.ACK), 2.1) == []
    assert machine.is_alive(probe.to)
    assert machine.tally.events[Event.PROBE_ANSWERED] == 1


def test_probe__unanswered__asks_helpers_then_doubts_at_once_and_accuses() -> None:
    machine = knowing(6)
    probe = next_probe(machine, 2.0)
    asked = [s for s in machine.on_failure(probe, 2.1) if s.draft.kind is Kind.ASK]
    assert len(asked) == SETTINGS.helpers
    assert all(one.draft.subject == probe.to and one.to not in (probe.to, payee(1)) for one in asked)
    assert machine.is_alive(probe.to)
    more: list[Send] = []
    for one in asked:
        more += machine.on_reply(one, Draft(Kind.NACK, probe.to), 2.3)
    assert not machine.is_alive(probe.to)
    assert [(one.to, one.draft.rumours[0].rumour.kind) for one in more] == [(probe.to, RumourKind.SUSPECT)]
    assert machine.tally.events[Event.SUSPECTED] == 1


def test_probe__confirmed_by_one_helper__counts() -> None:
    machine = knowing(6)
    probe = next_probe(machine, 2.0)
    asked = machine.on_failure(probe, 2.1)
    machine.on_reply(asked[0], Draft(Kind.NACK, probe.to), 2.2)
    machine.on_reply(asked[1], Draft(Kind.ACK, probe.to), 2.3)
    machine.on_failure(asked[2], 2.4)
    assert machine.is_alive(probe.to)
    assert machine.tally.events == {Event.PROBE_ANSWERED: 1}


def test_probe__of_which_nothing_comes_back__fails_at_its_deadline() -> None:
    machine = knowing(2)
    probe = next_probe(machine, 2.0)
    machine.tick(2.2 + SETTINGS.probe_seconds)
    assert not machine.is_alive(probe.to)
    machine.on_reply(probe, Draft(Kind.ACK), 9.0)  # too late for this probe, but an answer
    assert machine.is_alive(probe.to)


def test_node_that_stood_still__blames_nobody_for_it() -> None:
    machine = knowing(6)
    tell(machine, suspect(2, 3), now=2.0)
    probe = next_probe(machine, 2.0)
    machine.forgive(60.0)  # then it is 62
    machine.tick(62.0)
    assert state(machine, 3) is Liveness.SUSPECTED
    machine.on_reply(probe, Draft(Kind.ACK), 62.1)
    assert machine.tally.events[Event.PROBE_FAILED] == 0
    machine.tick(62.0 + SETTINGS.suspicion_of(6) + 0.1)
    assert state(machine, 3) is Liveness.DEAD


def test_node_that_is_cut_off_itself__doubts_but_accuses_nobody() -> None:
    machine = knowing(8)
    for round_ in range(6):
        probe = next_probe(machine, 10.0 + 5 * round_)
        for one in machine.on_failure(probe, 10.1 + 5 * round_):
            machine.on_failure(one, 10.2 + 5 * round_)
    assert machine.tally.events[Event.SUSPECTED] == 1
    assert machine.tally.events[Event.PROBE_FAILED] == 6


def test_reported_failure__leaves_the_candidates_at_once_and_is_probed_next() -> None:
    machine = knowing(30)
    next_probe(machine, 2.0)
    machine.report_failure(payee(17), 2.05)
    assert not machine.is_alive(payee(17))
    assert machine.due_at() <= 2.05
    probe = pings(machine.tick(2.05))[0]
    assert probe.to == payee(17)
    machine.on_reply(probe, Draft(Kind.ACK), 2.1)
    assert machine.is_alive(payee(17))
    machine.report_failure(payee(99), 2.2)
    machine.report_failure(payee(1), 2.2)
    assert machine.is_alive(payee(1))


def test_dead_member__that_speaks_to_us__hears_of_its_death_first() -> None:
    machine = knowing(3)
    tell(machine, suspect(2, 3), now=1.0)
    machine.tick(30.0)
    answer = machine.on_request(payee(3), Draft(Kind.PING), 31.0)
    assert isinstance(answer, Draft)
    assert answer.rumours[0] == suspect(2, 3)


def test_help__is_given_to_members_for_members_and_only_so_often() -> None:
    machine = knowing(4)
    answers = [machine.on_request(payee(2), Draft(Kind.ASK, payee(3)), 5.0) for _ in range(int(RELAYS_PER_SECOND) + 2)]
    relays = [one for one in answers if isinstance(one, Relay)]
    assert len(relays) == int(RELAYS_PER_SECOND)
    assert all(one.send.to == payee(3) for one in relays)
    for subject in (payee(1), payee(4), payee(99)):
        refused = machine.on_request(payee(4), Draft(Kind.ASK, subject), 6.0)
        assert isinstance(refused, Draft)
        assert refused.kind is Kind.NACK
    assert machine.relayed(payee(2), payee(3), None, 6.0).kind is Kind.NACK
    assert machine.relayed(payee(2), payee(3), Draft(Kind.ACK), 6.0).kind is Kind.ACK


def test_join__walks_all_pages_of_one_member_and_then_knows_everybody() -> None:
    settings = SwimSettings(sync_page=3)
    old = swim(2, 12, settings=settings)
    tell(old, *(alive(n) for n in range(3, 13)), sender=3)
    new = swim(1, 12, settings=settings)
    waiting = [send for send in new.tick(0.0) if send.draft.kind is Kind.SYNC]
    assert waiting
    walks = 0
    while waiting:
        send = waiting.pop()
        page = old.on_request(payee(1), send.draft, 0.1)
        assert isinstance(page, Draft)
        assert len(page.rumours) <= settings.sync_page
        waiting = [*new.on_reply(send, page, 0.2)]
        walks += 1
    assert new.has_joined
    assert walks == 5
    assert all(new.is_alive(payee(n)) for n in range(2, 13))


def test_join__from_somebody_whose_pages_go_in_circles__ends() -> None:
    machine = swim(1, 12)
    send = next(send for send in machine.tick(0.0) if send.draft.kind is Kind.SYNC)
    onward = machine.on_reply(send, Draft(Kind.PAGE, payee(5)), 0.1)
    assert [one.draft.subject for one in onward] == [payee(5)]
    assert machine.on_reply(onward[0], Draft(Kind.PAGE, payee(5)), 0.2) == []
    assert machine.has_joined
    assert machine.on_reply(send, Draft(Kind.ACK), 0.3) == []


def test_sync_page__tells_of_suspicions_and_not_of_the_dead() -> None:
    machine = knowing(4)
    tell(machine, suspect(2, 3), now=1.0)
    page = machine.on_request(payee(4), Draft(Kind.SYNC, ZERO_ADDRESS), 1.1)
    assert isinstance(page, Draft)
    assert suspect(2, 3) in page.rumours
    machine.tick(60.0)
    page = machine.on_request(payee(4), Draft(Kind.SYNC, ZERO_ADDRESS), 60.1)
    assert isinstance(page, Draft)
    assert payee(3) not in [one.rumour.subject for one in page.rumours]


def test_unregistered_node__sends_nothing() -> None:
    machine = swim(1, 3)
    machine.update_registry(registry(3)[1:], 0.0)
    assert machine.tick(5.0) == []
    assert machine.due_at() > 5.0


def test_registry__a_new_operator_key__starts_a_new_life() -> None:
    machine = knowing(3)
    changed = [
        one if one.payee != payee(3) else Registered(payee(3), key(9).address, one.endpoint) for one in registry(3)
    ]
    machine.update_registry(changed, 2.0)
    assert state(machine, 3) is Liveness.UNKNOWN
    tell(machine, alive(3, 7))
    assert state(machine, 3) is Liveness.UNKNOWN


def test_registry__stake_and_endpoint__follow_without_losing_liveness() -> None:
    machine = knowing(2)
    moved = Registered(payee(2), key(2).address, "https://moved.example", Amount(5))
    machine.update_registry([registry(2)[0], moved], 2.0)
    member = machine.member(payee(2), 2.0)
    assert member is not None
    assert (member.endpoint, member.stake, member.is_alive) == ("https://moved.example", 5, True)
    machine.update_registry([registry(2)[0]], 3.0)
    assert set(machine.members(3.0)) == {payee(1)}


def test_bid__newest_number_wins_and_its_age_counts_from_when_it_was_heard() -> None:
    machine = knowing(3)
    for bid in (make_bid(2, 5), make_bid(2, 4)):
        machine.on_request(payee(2), Draft(Kind.PING, bids=(bid,)), 10.0)
    member = machine.member(payee(2), 12.5)
    assert member is not None
    assert (member.bid, member.bid_age_seconds) == (make_bid(2, 5), 2.5)


def test_bid__forged_own_or_unregistered__is_not_believed() -> None:
    machine = knowing(3)
    good = make_bid(3, 5)
    forged = type(good)(good.bid, make_bid(2, 5).signature)
    machine.on_request(payee(2), Draft(Kind.PING, bids=(forged, make_bid(1), make_bid(9))), 10.0)
    assert all(member.bid is None for member in machine.members(10.0).values())
    assert machine.tally.dropped == {Dropped.BID_FORGED: 1}


def test_own_bid__travels_in_probes_and_answers() -> None:
    machine = knowing(3)
    machine.set_bid(make_bid(1, 8))
    assert make_bid(1, 8) in next_probe(machine, 2.0).draft.bids
    answer = machine.on_request(payee(2), Draft(Kind.PING), 3.0)
    assert isinstance(answer, Draft)
    assert make_bid(1, 8) in answer.bids


def test_packets__with_much_news_and_large_bids__stay_within_one_segment() -> None:
    machine = swim(1, 60)
    machine.set_bid(make_bid(1, 8, rows=8))
    tell(machine, *(alive(n) for n in range(2, 61)))
    for n in range(2, 20):
        machine.on_request(payee(n), Draft(Kind.PING, bids=(make_bid(n, 3, rows=8),)), 1.0)
    sends = [send for step in range(40) for send in machine.tick(1.0 + step * 0.1)]
    assert len(sends) > 20
    assert max(send.draft.size() for send in sends) <= SETTINGS.max_packet_bytes


def test_news__is_pushed_a_bounded_number_of_times_then_carried_then_old() -> None:
    news = News(lambda: 6)
    news.add(alive(3), 0.0)
    pushes = 0
    while news.has_pushes:
        assert news.push(5, 3) == [alive(3)]
        pushes += 1
    assert pushes == 2
    assert news.carry(5) == [alive(3)]
    assert news.carry(0) == []
    news.expire(FRESH_SECONDS)
    assert news.carry(5) == []


def test_news__more_than_fits__tells_the_least_told_first() -> None:
    news = News(lambda: 100)
    for n in range(2, 8):
        news.add(alive(n), 0.0)
    first, second = news.carry(3), news.carry(3)
    assert {one.rumour.subject for one in first + second} == {payee(n) for n in range(2, 8)}
    assert RUMOUR_BYTES == 114


def test_notary__real_keys__tell_genuine_from_forged() -> None:
    one = notary(2).seal(Rumour(RumourKind.ALIVE, payee(2), 1))
    assert notary(1).is_genuine(one.rumour, one.signature, key(2).address)
    assert not notary(1).is_genuine(one.rumour, one.signature, key(3).address)
    assert not notary(1).is_genuine(one.rumour, Signature(b"\x00" * 65), key(2).address)


def test_member_that_leaves_and_lives_again_by_turns__takes_nobodys_turn() -> None:
    machine, incarnation = knowing(10), 2
    for packet in range(40):
        flips: list[SignedRumour] = []
        for _ in range(8):
            flips += [rumour(2, Rumour(RumourKind.LEFT, payee(2), incarnation)), alive(2, incarnation + 1)]
            incarnation += 1
        tell(machine, *flips, now=1.0 + packet * 0.025)
    probed: Counter[bytes] = Counter()
    for step in range(60 * 100):
        for send in pings(machine.tick(2.0 + step * 0.01)):
            probed[send.to] += 1
            machine.on_reply(send, Draft(Kind.ACK), 2.0 + step * 0.01)
    assert max(probed.values()) - min(probed.values()) <= 2
    assert len(probed) == 9
