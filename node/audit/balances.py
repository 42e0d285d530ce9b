"""INV11, INV1, INV2, INV10: the books that the events give, against the contracts' own views at the pinned block."""

from collections.abc import Iterator
from dataclasses import dataclass

from node.audit.abi import AbiValue
from node.audit.book import Book
from node.audit.crypto import ZERO20, hexed
from node.audit.deployment import Deployment
from node.audit.findings import Report
from node.audit.stakes import Stakes
from node.audit.views import View, Views


@dataclass(frozen=True, slots=True)
class Expectation:
    """A view call and what the events say it returns; `total` compares the sum of the results instead of each."""

    code: str
    subject: str
    view: View
    rebuilt: tuple[AbiValue, ...]
    takes: tuple[int, ...]
    is_total: bool = False


def check_balances(views: Views, deployment: Deployment, book: Book, stakes: Stakes, report: Report) -> None:
    """Compare everything; one finding for each state that differs."""
    expectations = [*_escrow_expectations(deployment.escrow, book, views.pinned.at)]
    expectations += _registry_expectations(deployment.registry, stakes)
    answers = views.call_many([expectation.view for expectation in expectations])
    for expectation, answer in zip(expectations, answers, strict=True):
        _compare(expectation, answer, views.pinned.number, report)
    report.counts.balances_compared = len(expectations)
    _check_solvency(views, deployment, book, stakes, report)
    _check_sums(book, stakes, deployment.escrow, report)


def _compare(expectation: Expectation, answer: list[AbiValue], block: int, report: Report) -> None:
    seen = tuple(answer[place] for place in expectation.takes)
    if expectation.is_total:
        seen = (sum(value for value in seen if isinstance(value, int)),)
    if seen != expectation.rebuilt:
        text = f"{expectation.view.signature.partition('(')[0]} of {expectation.subject}"
        message = f"{text} is {_shown(seen)}, the events give {_shown(expectation.rebuilt)}"
        report.add(expectation.code, message, subject=expectation.subject, block=block)


def _shown(values: tuple[AbiValue, ...]) -> str:
    return "/".join(hexed(value) if isinstance(value, bytes) else str(value) for value in values)


def _escrow_expectations(escrow: bytes, book: Book, at: int) -> Iterator[Expectation]:
    for payer, amount in book.free.items():
        yield Expectation(
            "AUD-010", hexed(payer), View(escrow, "free(address)", (payer,), ("uint128",)), (amount,), (0,)
        )
    for ids, pair in book.pairs.items():
        view = View(escrow, "pairs(address,address)", ids, ("uint128", "uint128", "uint128", "uint64"))
        amounts = (pair.allotted, pair.claimed, pair.thawing, pair.thaw_end)
        yield Expectation("AUD-011", _names(*ids), view, amounts, (0, 1, 2, 3))
    for lane_ids, lane in book.lanes.items():
        view = View(escrow, "laneState(address,address,address)", lane_ids, ("uint128", "uint32"))
        yield Expectation("AUD-012", _names(*lane_ids), view, (lane.claimed, lane.generation), (0, 1))
    for each in sorted(book.tops.keys() | book.returned.keys()):
        view = View(escrow, "laneGeneration(address,address,address,uint32)", each, ("uint128", "uint128"))
        totals = (book.tops.get(each, 0), book.returned.get(each, 0))
        yield Expectation("AUD-012", f"{_names(*each[:3])} generation {each[3]}", view, totals, (0, 1))
    for address, signer in book.signers.items():
        view = View(escrow, "signerState(address)", (address,), ("address", "uint64", "bool", "uint128"))
        state = (signer.payer, signer.thaw_end, int(signer.is_revoked), signer.cap)
        yield Expectation("AUD-016", hexed(address), view, state, (0, 1, 2, 3))
    yield from _payee_expectations(escrow, book, at)
    view = View(escrow, "burnt()", (), ("uint256",))
    yield Expectation("AUD-013", "escrow", view, (book.burnt,), (0,))


def _payee_expectations(escrow: bytes, book: Book, at: int) -> Iterator[Expectation]:
    kinds = ("address", "uint32", "uint64", "address", "address", "uint64")
    for address, payee in book.payees.items():
        view = View(escrow, "payees(address)", (address,), kinds)
        keys = (payee.operator, payee.generation, payee.payout_in_force(address, at))
        yield Expectation("AUD-015", hexed(address), view, keys, (0, 1, 3))
        for generation, operator in payee.operators.items():
            view = View(escrow, "generationState(address,uint32)", (address, generation), ("address", "uint64"))
            state = (operator, payee.closed_at.get(generation, 0))
            yield Expectation("AUD-015", f"{hexed(address)} generation {generation}", view, state, (0, 1))
        view = View(escrow, "earningsOf(address)", (address,), ("uint128", "uint128", "uint128"))
        yield Expectation("AUD-013", hexed(address), view, (payee.unpaid,), (0, 1, 2), is_total=True)


def _registry_expectations(registry: bytes, stakes: Stakes) -> Iterator[Expectation]:
    kinds = ("address", "bool", "uint64", "uint128", "uint128", "bytes32", "string")
    for address, provider in stakes.providers.items():
        view = View(registry, "provider(address)", (address,), kinds, is_tuple=True)
        listed, end = int(provider.is_listed), provider.unbond_end
        state = (listed, end, provider.stake, provider.unbonding, provider.offer_hash, provider.endpoint)
        yield Expectation("AUD-014", hexed(address), view, state, (1, 2, 3, 4, 5, 6))
    yield Expectation("AUD-014", "registry", View(registry, "burnt()", (), ("uint256",)), (stakes.burnt,), (0,))


def _names(*addresses: bytes) -> str:
    return " ".join(hexed(address) for address in addresses)


def _check_solvency(views: Views, deployment: Deployment, book: Book, stakes: Stakes, report: Report) -> None:
    owed = sum(book.free.values()) + sum(pair.allotted - pair.claimed for pair in book.pairs.values())
    owed += sum(payee.unpaid for payee in book.payees.values()) + book.burnt
    staked = sum(provider.stake + provider.unbonding for provider in stakes.providers.values()) + stakes.burnt
    holders = (("AUD-017", deployment.escrow, owed), ("AUD-018", deployment.registry, staked))
    for code, holder, needed in holders:
        held = views.call(View(deployment.currency, "balanceOf(address)", (holder,), ("uint256",)))[0]
        assert isinstance(held, int)
        if held < needed:
            report.add(code, f"holds {held}, owes {needed}", holder=hexed(holder), block=views.pinned.number)


def _check_sums(book: Book, stakes: Stakes, escrow: bytes, report: Report) -> None:
    sums: dict[tuple[bytes, bytes], int] = {}
    for (payer, payee, _), lane in book.lanes.items():
        sums[payer, payee] = sums.get((payer, payee), 0) + lane.claimed
    for ids, pair in book.pairs.items():
        total = sums.get(ids, 0)
        if total != pair.claimed or pair.claimed > pair.allotted:
            text = f"claimed {pair.claimed} of {pair.allotted}, its lanes {total}"
            report.add("AUD-019", text, payer=hexed(ids[0]), payee=hexed(ids[1]))
    taken = stakes.taken_by.get(escrow, 0)
    if taken != book.slashed_stake:
        text = f"challenges took {book.slashed_stake} of stake, the registry gave {taken}"
        report.add("AUD-029", text, holder=hexed(escrow or ZERO20))
