"""The billing table: which outcome bills what. Code, docs, tests and response bodies read this one table.

| outcome | prompt | completion | receipt status |
"""

from dataclasses import dataclass
from enum import Enum

from node.core.account import Outcome
from node.core.pricing import charge_of
from node.core.records import record
from node.core.types import ZERO32, Amount, Bytes32, Status, TokenCount


class Ending(Enum):
    """How serving a request ended."""

    FINISHED = "finished"
    HUNG_UP = "hung_up"
    HUNG_UP_EARLY = "hung_up_before_first_token"
    FAILED_EARLY = "failed_before_first_token"
    FAILED_LATE = "failed_after_first_token"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table."""

    bills_prompt: bool
    bills_completion: bool
    status: Status


BILLING: dict[Ending, Rule] = {
    Ending.FINISHED: Rule(bills_prompt=True, bills_completion=True, status=Status.COMPLETE),
    Ending.HUNG_UP: Rule(bills_prompt=True, bills_completion=True, status=Status.CANCELLED),
    Ending.HUNG_UP_EARLY: Rule(bills_prompt=False, bills_completion=False, status=Status.CANCELLED),
    Ending.FAILED_EARLY: Rule(bills_prompt=False, bills_completion=False, status=Status.FAILED),
    Ending.FAILED_LATE: Rule(bills_prompt=True, bills_completion=True, status=Status.PARTIAL),
}


@record
class Prices:
    """The prices agreed in the terms, base units per million tokens, and the reservation."""

    prompt: Amount
    completion: Amount
    max_price: Amount


def settle_outcome(
    ending: Ending,
    delivered: TokenCount,
    prices: Prices,
    response_hash: Bytes32,
    answer_hash: Bytes32 = ZERO32,
) -> Outcome:
    """Apply the table. The charge never exceeds the reservation, whatever the engine delivered."""
    rule = BILLING[ending]
    billed = TokenCount(
        delivered.prompt if rule.bills_prompt else 0,
        delivered.completion if rule.bills_completion else 0,
    )
    charge = min(charge_of(billed, prices.prompt, prices.completion), prices.max_price)
    return Outcome(rule.status, billed, Amount(charge), response_hash, answer_hash)
