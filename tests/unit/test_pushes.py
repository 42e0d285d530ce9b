"""A claim as it is pushed to a watchtower: its JSON, the signatures it stands on, and when it must be sent."""

from dataclasses import replace

import pytest

from node.adapters.keys import LocalSigner, Secret, recover
from node.core.errors import BadVoucher, WrongSignature
from node.core.merkle import Peaks
from node.core.messages import Claim, Voucher
from node.core.pushes import HeldClaim, check_push, must_be_sent, push_from_json, push_to_json
from node.core.settlement import SignedClaim
from node.core.types import Amount, Bytes32, Micros, Seconds
from tests.factories import DOMAIN, PAYEE

OPERATOR, LANE = LocalSigner(Secret(b"\x05" * 32)), LocalSigner(Secret(b"\x06" * 32))
WINDOW = Seconds(100)


def make_push(
    *, cumulative: int = 70, ceiling: int = 100, generation: int = 1, by: LocalSigner = OPERATOR
) -> SignedClaim:
    owner = LANE.address
    claim = Claim(owner, PAYEE, owner, 1, Micros(5), Amount(cumulative), Bytes32(b"\x07" * 32), 3)
    voucher = Voucher(owner, PAYEE, generation, Amount(ceiling), Bytes32(b"\x08" * 32))
    return SignedClaim(
        claim,
        by.sign(DOMAIN.digest(claim.struct_hash())),
        voucher,
        LANE.sign(DOMAIN.digest(voucher.struct_hash())),
        Peaks(),
    )


def check(signed: SignedClaim) -> None:
    check_push(signed, OPERATOR.address, DOMAIN, recover)


def test_push__there_and_back__is_the_same_and_passes() -> None:
    signed = make_push()
    assert push_from_json(push_to_json(signed)) == signed
    check(signed)


@pytest.mark.parametrize(
    "document", [None, [], {}, {"claim": {}}, {**push_to_json(make_push()), "claimSignature": "0x"}]
)
def test_push__malformed__is_refused(document: object) -> None:
    with pytest.raises(BadVoucher):
        push_from_json(document)


def test_check__above_its_ceiling__is_refused() -> None:
    with pytest.raises(BadVoucher):
        check(make_push(cumulative=101))


def test_check__voucher_of_another_generation__is_refused() -> None:
    with pytest.raises(BadVoucher):
        check(make_push(generation=2))


def test_check__claim_signed_by_a_stranger__is_refused() -> None:
    with pytest.raises(WrongSignature, match="operator"):
        check(make_push(by=LANE))


def test_check__voucher_signed_by_a_stranger__is_refused() -> None:
    signed = make_push()
    forged = OPERATOR.sign(DOMAIN.digest(signed.voucher.struct_hash()))
    with pytest.raises(WrongSignature, match="lane"):
        check(replace(signed, voucher_signature=forged))


@pytest.mark.parametrize(
    ("claimed", "ends", "head", "now", "expected"),
    [
        (0, (0, 0), 1, 1_000, False),  # nobody thaws
        (0, (1_000, 0), 1, 949, False),  # the node's half of the window
        (0, (1_000, 0), 1, 950, True),
        (0, (0, 1_000), 1, 950, True),  # the signer thaws
        (0, (2_000, 1_000), 1, 950, True),  # the sooner one counts
        (70, (1_000, 0), 1, 999, False),  # the node has claimed
        (69, (1_000, 0), 1, 999, True),
        (0, (0, 0), 2, 1, True),  # its generation is closed
    ],
)
def test_must_be_sent__by_thaw_and_claimed(
    claimed: int, ends: tuple[int, int], head: int, now: int, *, expected: bool
) -> None:
    held = HeldClaim(make_push(), Amount(claimed), Seconds(ends[0]), Seconds(ends[1]), head)
    assert must_be_sent(held, Seconds(now), WINDOW) is expected
