"""core.folds: good news when finalised, bad news at once. One situation a test."""

import pytest

from node.core.errors import Broken
from node.core.facts import ChainEvent, Kind, Subject, args_from_json, args_to_json, subject_of
from node.core.folds import replay_lane, replay_pair, replay_payee, replay_provider, replay_signer
from node.core.types import ZERO32, ZERO_ADDRESS, Bytes32

A, B, C = b"\x0a" * 20, b"\x0b" * 20, b"\x0c" * 20


def event(name: str, number: int = 1, **args: object) -> ChainEvent:
    return ChainEvent(number, Bytes32(bytes([number]) * 32), 0, ZERO32, "escrow", name, args)


def allotted(total: int, number: int = 1) -> ChainEvent:
    return event("Allotted", number, payer=A, payee=B, amount=1, allotted=total)


def thaw(amount: int, number: int) -> ChainEvent:
    return event("ThawRequested", number, payer=A, payee=B, oldAmount=0, newAmount=amount, thawEnd=99)


def test_replay_pair__allotment_not_final__covers_nothing_yet() -> None:
    assert replay_pair([allotted(100, 5)], finalised=4).cover == 0
    assert replay_pair([allotted(100, 5)], finalised=5).cover == 100


def test_replay_pair__thaw_at_the_head__lowers_cover_at_once() -> None:
    view = replay_pair([allotted(100, 1), thaw(60, 9)], finalised=5)
    assert (view.cover, view.thawing, view.thaw_end) == (40, 60, 99)


def test_replay_pair__thaw_cancelled_above_finality__cover_stays_low_until_final() -> None:
    events = [allotted(100, 1), thaw(60, 6), event("ThawCancelled", 8, payer=A, payee=B, amount=60)]
    assert replay_pair(events, finalised=5).cover == 40
    assert replay_pair(events, finalised=7).cover == 40
    assert replay_pair(events, finalised=8).cover == 100


def test_replay_pair__two_events_in_one_block__count_as_one_step() -> None:
    """A thaw and its cancellation in one block were never to be seen between blocks."""
    events = [allotted(100, 1), thaw(60, 6), event("ThawCancelled", 6, payer=A, payee=B, amount=60)]
    assert replay_pair(events, finalised=5).cover == 100


def test_replay_pair__thaw_finished__leaves_the_new_allotment() -> None:
    events = [allotted(100, 1), thaw(60, 2), event("ThawFinished", 3, payer=A, payee=B, amount=50, allotted=50)]
    view = replay_pair(events, finalised=3)
    assert (view.cover, view.thawing, view.thaw_end) == (50, 0, 0)


def test_replay_pair__thaw_of_zero__stops_the_clock() -> None:
    view = replay_pair([allotted(100, 1), thaw(60, 2), thaw(0, 3)], finalised=3)
    assert (view.cover, view.thaw_end) == (100, 0)


def test_replay_pair__nothing__covers_nothing() -> None:
    assert replay_pair([], finalised=10).cover == 0


def test_replay_lane__several_claims__the_last_counts() -> None:
    first, second = (
        event("Settled", n, payer=A, payee=B, lane=A, generation=1, seq=n, claimedAfter=10 * n, count=n, root=ZERO32)
        for n in (1, 2)
    )
    assert replay_lane([first, second]).claimed == 20
    assert replay_lane([first]).claimed == 10


def signer_event(name: str, number: int, **args: object) -> ChainEvent:
    return event(name, number, payer=A, signer=C, **args)


def test_replay_signer__authorised_but_not_final__is_not_live() -> None:
    events = [signer_event("SignerAuthorized", 5, cap=7)]
    assert not replay_signer(events, finalised=4).is_live
    view = replay_signer(events, finalised=5)
    assert (view.is_live, view.payer, view.cap) == (True, A, 7)


def test_replay_signer__thaw_at_the_head__ends_it_at_once() -> None:
    events = [signer_event("SignerAuthorized", 1, cap=7), signer_event("SignerThawing", 9, thawEnd=50)]
    view = replay_signer(events, finalised=5)
    assert (view.is_live, view.thaw_end) == (False, 50)


def test_replay_signer__raised_cap__counts_when_final() -> None:
    events = [signer_event("SignerAuthorized", 1, cap=7), signer_event("SignerCapRaised", 6, oldCap=7, newCap=9)]
    assert replay_signer(events, finalised=5).cap == 7
    assert replay_signer(events, finalised=6).cap == 9


def test_replay_signer__revoked__is_not_live() -> None:
    events = [signer_event("SignerAuthorized", 1, cap=7), signer_event("SignerRevoked", 2)]
    assert not replay_signer(events, finalised=9).is_live


def operator(number: int, generation: int, key: bytes = C) -> ChainEvent:
    return event("OperatorSet", number, payee=B, operator=key, oldOperator=A, generation=generation)


def test_replay_payee__new_generation_not_final__admits_nothing() -> None:
    events = [operator(1, 1), operator(8, 2, A)]
    between = replay_payee(events, finalised=5)
    assert (between.generation, between.operator, between.head_generation) == (0, ZERO_ADDRESS, 2)
    after = replay_payee(events, finalised=8)
    assert (after.generation, after.operator) == (2, A)
    assert after.operator_of(1) == C


def test_replay_payee__bumped__keeps_the_operator() -> None:
    events = [operator(1, 1), event("GenerationBumped", 2, payee=B, by=C, oldGeneration=1, newGeneration=2)]
    view = replay_payee(events, finalised=2)
    assert (view.generation, view.operator) == (2, C)


def test_replay_payee__nothing__has_no_generation() -> None:
    view = replay_payee([], finalised=2)
    assert (view.generation, view.operator_of(3)) == (0, ZERO_ADDRESS)


def provider_event(name: str, **args: object) -> ChainEvent:
    return event(name, provider=B, **args)


def test_replay_provider__whole_life__ends_delisted_and_paid() -> None:
    h1, h2 = b"\x01" * 32, b"\x02" * 32
    events = [
        provider_event("Registered", endpoint="https://a", offerHash=h1, stake=100),
        provider_event("EndpointSet", oldEndpoint="https://a", newEndpoint="0x-host"),
        provider_event("OfferSet", oldOfferHash=h1, newOfferHash=h2),
        provider_event("StakeAdded", amount=5, stake=105),
        provider_event("UnstakeRequested", amount=5, stake=100, unbonding=5, unbondEnd=9),
        provider_event("Slashed", by=A, paid=1, burnt=1, stake=98, unbonding=5),
    ]
    view = replay_provider(events)
    assert (view.provider, view.endpoint, view.offer_hash, view.is_listed) == (B, "0x-host", h2, True)
    assert (view.stake, view.unbonding, view.unbond_end) == (98, 5, 9)
    gone = replay_provider([*events, provider_event("Deregistered", unbonding=103, unbondEnd=20)])
    assert (gone.is_listed, gone.stake, gone.unbonding) == (False, 0, 103)
    paid = replay_provider([*events, provider_event("StakeWithdrawn", to=A, amount=103)])
    assert paid.unbonding == 0


def test_subject_of__known_and_unknown__names_it_or_stops() -> None:
    assert subject_of(allotted(1)) == Subject(Kind.PAIR, A + B)
    with pytest.raises(Broken, match="does not know"):
        subject_of(event("Surprise"))


def test_chain_event__argument_missing_or_of_another_type__stops() -> None:
    with pytest.raises(Broken, match="lacks an argument"):
        replay_pair([event("Allotted", payer=A, payee=B)], finalised=1)
    with pytest.raises(Broken, match="lacks an argument"):
        subject_of(event("Allotted", payer=1, payee=B))


def test_args_json__there_and_back__is_the_same() -> None:
    args = {"payer": A, "amount": 2**127, "endpoint": "0xnot-hex", "root": ZERO32}
    assert args_from_json(args_to_json(args)) == args
