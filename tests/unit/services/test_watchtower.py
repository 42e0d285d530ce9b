"""A watchtower takes what its payees' operators signed, and sends only what would be paid."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest

from node.adapters.keys import recover
from node.core.errors import BadVoucher, NotFound, TowerUnavailable, WrongSignature
from node.core.facts import Block, Cursor
from node.core.folds import PayeeView
from node.core.pushes import HeldClaim
from node.core.settlement import SignedClaim
from node.core.transactions import Call, ClaimPreview, Wish
from node.core.types import Address, Amount, Seconds
from node.services.tower_push import show_towers
from node.services.watch_chain import Followed
from node.services.watchtower import Watchtower
from tests.factories import DOMAIN, ESCROW, PAYEE
from tests.unit.test_pushes import LANE, OPERATOR, make_push


@dataclass
class World:
    """Book, chain and outbox in one."""

    held: list[HeldClaim] = field(default_factory=list)
    kept: list[SignedClaim] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)
    status: str = "Paid"
    now: int = 950

    async def keep(self, claims: list[SignedClaim]) -> int:
        self.kept += claims
        return len(claims)

    async def load(self, _payee: Address) -> list[SignedClaim]:
        return self.kept

    async def load_held(self) -> list[HeldClaim]:
        return self.held

    async def load_payee(self, _payee: Address) -> PayeeView:
        return PayeeView(1, OPERATOR.address, 1, {1: OPERATOR.address})

    async def poll(self) -> Followed:
        head = Block(7, b"\x01" * 32, b"\x00" * 32, Seconds(self.now))  # type: ignore[arg-type]
        return Followed(Cursor(head, 5), 0, Seconds(0))

    async def preview_claims(self, claims: list[SignedClaim]) -> list[ClaimPreview]:
        return [ClaimPreview(self.status, Amount(1)) for _ in claims]

    def claim_call(self, claims: list[SignedClaim]) -> Call:
        return Call(ESCROW, bytes([len(claims)]))

    async def add(self, wish: Wish) -> int:
        self.wishes.append(wish)
        return 1


def make(world: World) -> Any:
    async def run() -> None:
        return None

    parts: Any = world
    sender: Any = SimpleNamespace(run=run, signer=OPERATOR)
    served = frozenset({PAYEE})
    return Watchtower(parts, parts, parts, parts, parts, sender, DOMAIN, recover, served, Seconds(100))


def thawing(end: int = 1_000) -> HeldClaim:
    return HeldClaim(make_push(), Amount(0), Seconds(end), Seconds(0), 1)


async def test_take__signed_by_operator_and_lane__is_kept_and_shown() -> None:
    world = World()
    assert await make(world).take([make_push()]) == 1
    assert await make(world).show(PAYEE) == [make_push()]


async def test_take__one_bad_among_good_ones__keeps_none() -> None:
    world = World()
    with pytest.raises(WrongSignature):
        await make(world).take([make_push(), make_push(by=LANE)])
    with pytest.raises(BadVoucher):
        await make(world).take([make_push(cumulative=101)])
    assert world.kept == []


async def test_take__payee_or_generation_that_it_does_not_know__is_refused() -> None:
    push = make_push()
    with pytest.raises(NotFound, match="does not serve"):
        await make(World()).take([replace(push, claim=replace(push.claim, payee=ESCROW))])
    with pytest.raises(NotFound, match="generation"):
        await make(World()).take([replace(push, claim=replace(push.claim, generation=9))])
    with pytest.raises(NotFound):
        await make(World()).show(ESCROW)


async def test_run__second_half_of_a_thaw__wants_the_claim_with_its_deadline() -> None:
    world = World([thawing()])
    assert await make(world).run() == 1
    assert [(wish.deadline, wish.call.data) for wish in world.wishes] == [(1_000, b"\x01")]


@pytest.mark.parametrize(("now", "status"), [(949, "Paid"), (950, "NothingNew"), (950, "NoCover")])
async def test_run__too_early_or_nothing_to_be_paid__wants_nothing(now: int, status: str) -> None:
    world = World([thawing()], now=now, status=status)
    assert await make(world).run() == 0
    assert world.wishes == []


@dataclass
class FakeTower:
    is_down: bool = False
    name: str = "http://tower"
    shown: int = 0

    async def push(self, claims: list[SignedClaim]) -> None:
        if self.is_down:
            raise TowerUnavailable("the watchtower does not answer")
        self.shown += len(claims)

    async def load_claims(self, _payee: Address) -> list[Any]:
        return []


async def test_show__one_of_two_towers_is_down__is_enough() -> None:
    towers = [FakeTower(is_down=True), FakeTower()]
    await show_towers(towers, [make_push()])
    assert [tower.shown for tower in towers] == [0, 1]


async def test_show__all_towers_down__no_claim_may_leave() -> None:
    with pytest.raises(TowerUnavailable, match="not sent"):
        await show_towers([FakeTower(is_down=True)], [make_push()])


async def test_show__no_tower_configured__nothing_to_wait_for() -> None:
    await show_towers([], [make_push()])
