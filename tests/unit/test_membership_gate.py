"""Packets: bytes both ways, and what the gate drops. Every drop is counted by its reason."""

import random

import pytest

from node.core.errors import BadRequest
from node.core.membership.gate import PACKET_BURST, TOLERANCE, WINDOW, Gate
from node.core.membership.packets import MAX_PAGE_BYTES, MAX_REQUEST_BYTES, Draft, Kind, Packet, decode, encode
from node.core.membership.rumours import Rumour, RumourKind
from node.core.membership.tally import Dropped, Tally
from node.core.types import Micros
from tests.factories import DOMAIN
from tests.unit.membership_makers import (
    WALL,
    make_bid,
    packet,
    payee,
    recover_or_none,
    registry,
    rumour,
    sealed,
)

ALIVE = Rumour(RumourKind.ALIVE, payee(2), 7)
SUSPECT = Rumour(RumourKind.SUSPECT, payee(3), 9, payee(2))
PING = Draft(Kind.PING)


def full_draft() -> Draft:
    return Draft(Kind.PING, payee(4), (rumour(2, ALIVE), rumour(2, SUSPECT)), (make_bid(2), make_bid(3, rows=2)))


class Desk:
    """A gate at node 1 in a network of five."""

    def __init__(self) -> None:
        operators = {one.payee: one.operator for one in registry(5)}
        self.tally = Tally()
        self.gate = Gate(payee(1), DOMAIN, operators.get, recover_or_none, self.tally)

    def request(self, raw: bytes, *, wall: int = WALL, now: float = 0.0) -> Packet | None:
        return self.gate.admit_request(raw, Micros(wall), now)

    def drops(self) -> dict[str, int]:
        return {why.value: count for why, count in self.tally.dropped.items()}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_packet__encoded_and_decoded__is_the_same() -> None:
    draft = full_draft()
    original = packet(2, 1, draft)
    raw = sealed(original, 2)
    decoded, contents, _ = decode(raw)
    assert decoded == original
    assert contents == encode(original)
    assert len(raw) == draft.size()


def test_packet__every_cut_and_every_flipped_header_byte__never_decodes_to_the_same() -> None:
    raw = sealed(packet(2, 1, full_draft()), 2)
    for length in range(len(raw)):
        with pytest.raises(BadRequest):
            decode(raw[:length])
    with pytest.raises(BadRequest):
        decode(raw + b"\x00")


def test_packet__random_bytes__are_refused_not_raised() -> None:
    dice = random.Random(5)
    for _ in range(2_000):
        raw = dice.randbytes(dice.randrange(0, 400))
        with pytest.raises(BadRequest):
            decode(b"\x02" + raw)
    start = encode(packet(2, 1, PING))[:2]
    for _ in range(2_000):
        try:
            decode(start + dice.randbytes(dice.randrange(100, 400)))
        except BadRequest:
            continue


@pytest.mark.parametrize("length", [0, 10, MAX_PAGE_BYTES + 1])
def test_packet__of_an_impossible_length__is_refused(length: int) -> None:
    with pytest.raises(BadRequest):
        decode(bytes(length))


def test_packet__a_suspicion_without_accuser_or_a_word_with_one__is_malformed() -> None:
    for bad in (Rumour(RumourKind.SUSPECT, payee(3), 1), Rumour(RumourKind.ALIVE, payee(3), 1, payee(2))):
        with pytest.raises(BadRequest):
            decode(sealed(packet(2, 1, Draft(Kind.NEWS, rumours=(rumour(2, bad),))), 2))


def test_gate__a_genuine_request__is_let_in_once(desk: Desk) -> None:
    raw = sealed(packet(2, 1, full_draft()), 2)
    admitted = desk.request(raw)
    assert admitted is not None
    assert admitted.draft == full_draft()
    assert desk.request(raw) is None
    assert desk.drops() == {"replayed": 1}


def test_gate__out_of_order_numbers__are_let_in_each_once(desk: Desk) -> None:
    numbers = [WALL + n for n in range(10)]
    random.Random(3).shuffle(numbers)
    assert all(desk.request(sealed(packet(2, 1, PING, number), 2)) for number in numbers)
    assert not any(desk.request(sealed(packet(2, 1, PING, number), 2)) for number in numbers)


def test_gate__a_number_behind_the_window__is_a_replay(desk: Desk) -> None:
    for n in range(WINDOW + 1):
        assert desk.request(sealed(packet(2, 1, PING, WALL + n), 2), now=float(n)) is not None
    assert desk.request(sealed(packet(2, 1, PING, WALL), 2)) is None
    assert desk.request(sealed(packet(2, 1, PING, WALL - 5), 2)) is None
    assert desk.drops() == {"replayed": 2}


@pytest.mark.parametrize(
    ("made", "signer", "why"),
    [
        (packet(2, 1, PING), 3, Dropped.FORGED),
        (packet(2, 3, PING), 2, Dropped.MISADDRESSED),
        (packet(1, 1, PING), 1, Dropped.MISADDRESSED),
        (packet(9, 1, PING), 9, Dropped.UNKNOWN_SENDER),
        (packet(2, 1, PING, WALL - TOLERANCE - 1), 2, Dropped.STALE),
        (packet(2, 1, PING, WALL + TOLERANCE + 1), 2, Dropped.STALE),
        (packet(2, 1, Draft(Kind.ACK)), 2, Dropped.MALFORMED),
        (packet(2, 1, PING, answers=5), 2, Dropped.MALFORMED),
    ],
)
def test_gate__a_packet_that_is_not_for_us__is_dropped_and_counted(
    desk: Desk, made: Packet, signer: int, why: Dropped
) -> None:
    assert desk.request(sealed(made, signer)) is None
    assert desk.drops() == {why.value: 1}


def test_gate__one_changed_byte__is_forged_or_malformed(desk: Desk) -> None:
    raw = bytearray(sealed(packet(2, 1, full_draft()), 2))
    for index in range(0, len(raw), 7):
        changed = bytearray(raw)
        changed[index] ^= 1
        assert desk.request(bytes(changed)) is None
    assert sum(desk.drops().values()) == len(range(0, len(raw), 7))


def test_gate__an_oversized_packet__is_dropped_before_it_is_read(desk: Desk) -> None:
    assert desk.request(b"\x01" * (MAX_REQUEST_BYTES + 1)) is None
    assert desk.gate.admit_answer(b"\x01" * (MAX_PAGE_BYTES + 1), packet(1, 2, PING), WALL) is None
    assert desk.drops() == {"oversized": 2}


def test_gate__a_member_that_floods__is_cut_off_and_others_are_not(desk: Desk) -> None:
    burst = int(PACKET_BURST)
    let_in = [desk.request(sealed(packet(2, 1, PING, WALL + n), 2)) is not None for n in range(burst + 5)]
    assert let_in == [True] * burst + [False] * 5
    assert desk.request(sealed(packet(3, 1, PING), 3)) is not None
    assert desk.drops() == {"flooded": 5}
    assert desk.request(sealed(packet(2, 1, PING, WALL + 999), 2), now=1.0) is not None


def test_gate__a_forger__cannot_use_up_the_victims_allowance_or_numbers(desk: Desk) -> None:
    forged = sealed(packet(2, 1, PING), 3)
    for _ in range(int(PACKET_BURST) + 10):
        assert desk.request(forged) is None
    assert desk.request(sealed(packet(2, 1, PING), 2)) is not None


def test_gate__an_answer__must_come_from_the_receiver_to_exactly_this_request(desk: Desk) -> None:
    request = packet(1, 2, PING, WALL)
    good = packet(2, 1, Draft(Kind.ACK), WALL + 1, answers=WALL)
    assert desk.gate.admit_answer(sealed(good, 2), request, WALL) is not None
    for bad in (
        packet(3, 1, Draft(Kind.ACK), WALL + 1, answers=WALL),
        packet(2, 1, Draft(Kind.ACK), WALL + 1, answers=WALL - 1),
        packet(2, 1, Draft(Kind.ACK), WALL + 1),
    ):
        assert desk.gate.admit_answer(sealed(bad, bad.sender[0]), request, WALL) is None
    assert desk.gate.admit_answer(sealed(packet(2, 1, PING, WALL + 1, WALL), 2), request, WALL) is None
    assert desk.gate.admit_answer(b"no packet", request, WALL) is None
    assert desk.drops() == {"replayed": 3, "malformed": 2}


def test_gate__bids_of_another_time__are_left_out_and_counted(desk: Desk) -> None:
    old = make_bid(3, issued_at=Micros(WALL - TOLERANCE - 1))
    admitted = desk.request(sealed(packet(2, 1, Draft(Kind.PING, bids=(make_bid(2), old))), 2))
    assert admitted is not None
    assert desk.gate.fresh_bids(admitted, WALL) == (make_bid(2),)
    assert desk.drops() == {"bid_stale": 1}


def test_gate__a_member_that_left_the_registry__is_forgotten(desk: Desk) -> None:
    assert desk.request(sealed(packet(2, 1, PING), 2)) is not None
    desk.gate.forget(lambda _: False)
    assert desk.request(sealed(packet(2, 1, PING), 2)) is not None  # nothing is remembered of it
