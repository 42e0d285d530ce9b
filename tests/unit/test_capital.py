"""Where a node's capital goes: the pure plan, and the planner over fakes."""

from collections.abc import Mapping, Sequence
from typing import Any

from node.core.capital import CapitalRules, Spending, plan_top_ups
from node.core.transactions import Call, Wish
from node.core.types import Address, Amount
from node.services.offload_capital import CapitalPlanner

A, B, C = (Address(bytes([n]) * 20) for n in (1, 2, 3))
RULES = CapitalRules(floor=Amount(100), horizon_seconds=10.0)


def test_plan_top_ups__no_floor__never_allots_by_itself() -> None:
    assert plan_top_ups([Spending(A, Amount(0), 9.0)], Amount(1_000), CapitalRules(Amount(0))) == []


def test_plan_top_ups__new_peer__gets_the_floor() -> None:
    assert plan_top_ups([Spending(A, Amount(0), 0.0)], Amount(1_000), RULES) == [(A, 100)]


def test_plan_top_ups__busy_peer__gets_what_the_horizon_takes_and_comes_first() -> None:
    peers = [Spending(A, Amount(0), 0.0), Spending(B, Amount(40), 50.0)]
    assert plan_top_ups(peers, Amount(10_000), RULES) == [(B, 460), (A, 100)]


def test_plan_top_ups__free_deposit_too_small__is_never_exceeded() -> None:
    peers = [Spending(A, Amount(0), 1.0), Spending(B, Amount(0), 50.0)]
    plan = plan_top_ups(peers, Amount(520), RULES)
    assert plan == [(B, 500), (A, 20)]
    assert sum(amount for _, amount in plan) == 520


def test_plan_top_ups__enough_left__waits_so_that_transactions_are_rare() -> None:
    assert plan_top_ups([Spending(A, Amount(50), 0.0)], Amount(1_000), RULES) == []


def test_plan_top_ups__many_peers__one_batch_is_bounded() -> None:
    peers = [Spending(Address(n.to_bytes(20, "big")), Amount(0), 0.0) for n in range(1, 200)]
    assert len(plan_top_ups(peers, Amount(10**9), RULES)) == RULES.largest_batch


class FakeOutbox:
    def __init__(self) -> None:
        self.wishes: list[Wish] = []

    async def add(self, wish: Wish) -> int | None:
        if self.wishes:
            return None
        self.wishes.append(wish)
        return 1


class FakeClock:
    at = 0.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> float:
        return self.at


def planner(spent: Mapping[Address, tuple[Amount, Amount]], free: int) -> tuple[CapitalPlanner, FakeOutbox, list[Any]]:
    calls: list[Any] = []

    async def read_free() -> Amount:
        return Amount(free)

    def call(rows: Sequence[tuple[Address, Amount]]) -> Call:
        calls.append(list(rows))
        return Call(C, b"")

    outbox = FakeOutbox()
    made = CapitalPlanner(lambda: spent, read_free, call, outbox, C, FakeClock(), RULES)  # type: ignore[arg-type]
    return made, outbox, calls


async def test_planner__several_short_peers__wants_one_transaction() -> None:
    made, outbox, calls = planner({A: (Amount(0), Amount(0)), B: (Amount(0), Amount(0))}, free=1_000)
    assert await made.run() == [(A, 100), (B, 100)]
    assert len(outbox.wishes) == 1
    assert calls == [[(A, 100), (B, 100)]]


async def test_planner__transaction_under_way__wants_no_second_one() -> None:
    made, _, _ = planner({A: (Amount(0), Amount(0))}, free=1_000)
    await made.run()
    assert await made.run() == []


async def test_planner__nothing_free__wants_nothing() -> None:
    made, outbox, _ = planner({A: (Amount(0), Amount(0))}, free=0)
    assert await made.run() == []
    assert outbox.wishes == []


async def test_planner__spending_seen__plans_for_the_horizon() -> None:
    spent = {A: (Amount(1_000), Amount(0))}
    made, _, _ = planner(spent, free=10_000)
    assert await made.run() == []
    FakeClock.at = 1.0
    spent[A] = (Amount(100), Amount(900))
    rows = await made.run()
    FakeClock.at = 0.0
    assert rows == [(A, 8_900)]
