"""The whole audit, as a list of steps: pin a block, read the events, rebuild the books, compare, then every receipt.

It holds no key, writes nothing, and trusts neither the node nor a single RPC endpoint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from node.audit.archive import Archive
from node.audit.balances import check_balances
from node.audit.book import Book, LaneId, Settlement, Windows
from node.audit.chain import (
    BLOOM_LIMIT_BLOCKS,
    Header,
    PinnedBlock,
    Progress,
    check_headers,
    compare_logs,
    fetch_headers,
    fetch_logs,
    find_hidden_logs,
    pin_block,
)
from node.audit.court import Court
from node.audit.crypto import hexed
from node.audit.deployment import Deployment
from node.audit.documents import Entry
from node.audit.duel_checks import check_court, check_seeds, draw_blocks, fetch_calls, fetch_rules
from node.audit.duel_money import take_slash
from node.audit.errors import CannotAuditError, MalformedError
from node.audit.events import Event, Log, decode_event
from node.audit.findings import Report
from node.audit.fold_duels import fold_duels
from node.audit.fold_escrow import fold_escrow
from node.audit.held import Held
from node.audit.lanes import LaneAuditor
from node.audit.offers import Offers
from node.audit.receipts import ReceiptChecker
from node.audit.rpc import Rpc
from node.audit.stakes import Stakes, fold_registry
from node.audit.structs import domain_separator
from node.audit.unsettled import UnsettledAuditor, candidate_lanes
from node.audit.views import Views, fetch_windows
from node.audit.walks import LaneWalker
from node.audit.web import Web


@dataclass(frozen=True, slots=True)
class Scope:
    """What to audit. `lane`: only the lanes whose addresses start with these (payer, payee, lane); empty = all."""

    block: str = "finalized"
    endpoints: Mapping[bytes, str] = field(default_factory=dict)
    wants_unsettled: bool = False
    held: Sequence[Entry] = ()
    bloom_limit: int = BLOOM_LIMIT_BLOCKS
    lane: tuple[bytes, ...] = ()
    wants_receipts: bool = True


@dataclass(frozen=True, slots=True)
class Audit:
    """A finished audit."""

    deployment: Deployment
    pinned: PinnedBlock
    report: Report
    book: Book
    stakes: Stakes
    court: Court | None = None


def no_progress(_what: str, _done: int, _total: int) -> None:
    """Nobody is watching."""


def verify(
    deployment: Deployment, rpcs: Sequence[Rpc], web: Web, scope: Scope, progress: Progress = no_progress
) -> Audit:
    """Audit everything in scope. Raises CannotAuditError."""
    report = Report()
    pinned = pin_block(rpcs[0], deployment, scope.block)
    views = Views(rpcs[0], pinned)
    thaw, hold, separator = fetch_windows(views, deployment)
    if separator != domain_separator(deployment.chain_id, deployment.escrow):
        raise CannotAuditError("the escrow signs for another EIP-712 domain: this is not a wwwserve escrow")
    logs, headers = _read_chain(deployment, rpcs, pinned, scope, report, progress)
    book, stakes = Book(Windows(thaw, hold), report), Stakes(report)
    court = _court(deployment, rpcs[0], views, (logs, headers), stakes)
    _fold(deployment, logs, headers, (book, stakes, court))
    check_balances(views, deployment, book, stakes, report)
    if court is not None:
        check_seeds(court, pinned.at)
        check_court(views, deployment, court)
    audit = Audit(deployment, pinned, report, book, stakes, court)
    if scope.wants_receipts:
        _check_receipts(audit, web, scope, separator, progress)
    _count(audit, logs, deployment)
    return audit


def _read_chain(
    deployment: Deployment,
    rpcs: Sequence[Rpc],
    pinned: PinnedBlock,
    scope: Scope,
    report: Report,
    progress: Progress,
) -> tuple[list[Log], dict[int, Header]]:
    logs = fetch_logs(rpcs[0], deployment, pinned, progress)
    for other in rpcs[1:]:
        theirs = pin_block(other, deployment, str(pinned.number))
        if theirs.block_hash != pinned.block_hash:
            raise CannotAuditError(
                f"{rpcs[0].url} and {other.url} have different blocks {pinned.number}: one follows a fork or lies"
            )
        logs = compare_logs(logs, fetch_logs(other, deployment, pinned, progress), (rpcs[0].url, other.url), report)
    numbers = sorted({log.block_number for log in logs} | {pinned.number} | draw_blocks(logs, deployment, pinned))
    everything = range(deployment.deploy_block, pinned.number + 1)
    is_whole = len(everything) <= scope.bloom_limit
    headers = fetch_headers(rpcs[0], list(everything) if is_whole else numbers, progress)
    if headers[pinned.number].block_hash != pinned.block_hash:
        raise CannotAuditError("the chain reorganised while it was read: audit the finalised block, or try again")
    hidden: list[Log] = []
    if is_whole:
        hidden = find_hidden_logs(rpcs[0], deployment, logs, headers, report)
    else:
        report.notes.append(f"{len(everything)} blocks: their blooms were not compared with the logs (--blooms N does)")
    check_headers(logs, headers, report)
    return sorted([*logs, *hidden], key=lambda log: log.place), headers


def _court(
    deployment: Deployment,
    rpc: Rpc,
    views: Views,
    chain: tuple[Sequence[Log], Mapping[int, Header]],
    stakes: Stakes,
) -> Court | None:
    """Empty books of the court, with all they need of the chain besides events; None for a set without duels."""
    if not deployment.duels:
        return None
    logs, headers = chain
    hashes = {number: header.block_hash for number, header in headers.items()}
    calls = fetch_calls(rpc, logs, deployment, stakes.report)
    return Court(fetch_rules(views, deployment), stakes.report, stakes, hashes, calls)


def _fold(
    deployment: Deployment,
    logs: Sequence[Log],
    headers: Mapping[int, Header],
    books: tuple[Book, Stakes, Court | None],
) -> None:
    book, stakes, court = books
    for log in logs:
        contract = deployment.contracts[log.address]
        header = headers.get(log.block_number)
        event = _decoded(contract, log, header.at if header else 0, book.report)
        if event is None:
            continue
        if contract == "escrow":
            fold_escrow(book, event)
        elif contract == "registry":
            if court is not None and event.name == "Slashed" and event.octets("by") == deployment.duels:
                take_slash(court, event)
            fold_registry(stakes, event)
        elif court is not None:
            fold_duels(court, event)


def _decoded(contract: str, log: Log, at: int, report: Report) -> Event | None:
    try:
        event = decode_event(contract, log, at)
    except MalformedError as exc:
        report.add("AUD-004", f"{contract}: {exc}", tx=hexed(log.tx_hash), block=log.block_number)
        return None
    if event is None:
        topic = log.topics[0] if log.topics else "none"
        report.add("AUD-004", f"{contract}: topic {topic}", tx=hexed(log.tx_hash), block=log.block_number)
    return event


def _check_receipts(audit: Audit, web: Web, scope: Scope, separator: bytes, progress: Progress) -> None:
    report, book = audit.report, audit.book
    endpoints = {payee: provider.endpoint for payee, provider in audit.stakes.providers.items()}
    archive = Archive(web, endpoints | dict(scope.endpoints))
    checker = ReceiptChecker(separator, Offers(archive, book, audit.stakes, separator, report), report)
    held = Held(report)
    held.take(scope.held, checker, book)
    held.check_settlements(book.settlements)
    settled = LaneAuditor(archive, checker, held, report, audit.pinned.at, progress)
    unsettled = UnsettledAuditor(archive, checker, held, report)
    walker = LaneWalker(book, settled, unsettled, report, scope.wants_unsettled)
    by_lane = _lanes_in_scope(book, scope)
    troubles = {payee: archive.trouble_with(payee) for payee in sorted({lane[1] for lane in by_lane})}
    for payee, trouble in troubles.items():
        if trouble and any(rows for lane, rows in by_lane.items() if lane[1] == payee):
            report.add("AUD-031", trouble, payee=hexed(payee))
    for done, (lane, settlements) in enumerate(by_lane.items(), start=1):
        if not troubles[lane[1]]:
            walker.walk_lane(lane, settlements)
        progress("checking lanes", done, len(by_lane))


def _lanes_in_scope(book: Book, scope: Scope) -> dict[LaneId, dict[int, list[Settlement]]]:
    by_lane: dict[LaneId, dict[int, list[Settlement]]] = {}
    for each in book.settlements:
        lane = (each.payer, each.payee, each.lane)
        by_lane.setdefault(lane, {}).setdefault(each.generation, []).append(each)
    if scope.wants_unsettled:
        for lane in candidate_lanes(book):
            by_lane.setdefault(lane, {})
    return {lane: rows for lane, rows in by_lane.items() if lane[: len(scope.lane)] == scope.lane}


def _count(audit: Audit, logs: Sequence[Log], deployment: Deployment) -> None:
    counts, book = audit.report.counts, audit.book
    counts.blocks = audit.pinned.number - deployment.deploy_block + 1
    counts.events = len(logs)
    counts.payers = len({payer for payer, _ in book.pairs})
    counts.payees = len(book.payees)
    counts.pairs = len(book.pairs)
    counts.lanes = len(book.lanes)
    counts.settlements = len(book.settlements)
    counts.settled_base_units = sum(settlement.paid for settlement in book.settlements)
