"""The rows a batch works on, loaded under the pairs' locks: pairs, lanes, accounts and known requests.

Writes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from node.adapters.ledger.hot import Row, Session
from node.adapters.ledger.operations import Request, Triple
from node.adapters.ledger.stored import STORED, stored_of
from node.core.account import LaneState, PairState
from node.core.errors import CoverTooLow, LaneFrozen, StaleGeneration, WrongSignature
from node.core.types import U128_MAX, Address, Amount, Bytes32, LaneKey
from node.ports.ledger import Stored

PAIRS = "SELECT pair.payer, pair.payee, pair.cover, pair.committed FROM {wanted} pair"
LANES = "SELECT lane.id, lane.payer, lane.payee, lane.lane, lane.claimed FROM {wanted} lane"
ACCOUNTS = (
    "SELECT account.lane_id, account.generation, account.base, account.charged, account.reserved, account.best, "
    "account.best_voucher_id, account.seq, account.count, account.is_frozen FROM {wanted} account"
)
SIGNERS = "SELECT signer.signer, signer.payer, signer.cap, signer.is_live FROM {wanted} signer"
PAYEES = "SELECT payee_state.payee, payee_state.generation FROM {wanted} payee_state"
VOUCHERS = "SELECT voucher.lane_id, voucher.request_id, voucher.id FROM {wanted} voucher"
OPEN = "SELECT reservation.voucher_id FROM {wanted} reservation"
LANES_KEPT = 20_000
"""Lanes a writer keeps in memory; more are dropped all at once, they are cheap to load again."""


@dataclass(slots=True)
class PairRow:
    """A pair under its lock."""

    state: PairState


@dataclass(slots=True)
class AccountRow:
    """A lane's totals in one generation."""

    state: LaneState
    best_voucher_id: int | None = None
    is_new: bool = False
    is_changed: bool = False


@dataclass(slots=True)
class LaneRow:
    """A lane for life; `id` is None until it is written."""

    key: Triple
    id: int | None = None
    claimed: Amount = Amount(0)
    accounts: dict[int, AccountRow] = field(default_factory=dict)


@dataclass(slots=True)
class WorkingSet:
    """Pairs, lanes and what admission asks about them, as of `version` of the database.

    On SQLite a writer keeps it from batch to batch: as long as nobody else has committed, its own memory is the truth.
    """

    pairs: dict[tuple[Address, Address], PairRow] = field(default_factory=dict)
    lanes: dict[Triple, LaneRow] = field(default_factory=dict)
    signers: dict[Address, Row] = field(default_factory=dict)
    generations: dict[Address, int] = field(default_factory=dict)
    version: int | None = None

    def pair_of(self, key: LaneKey) -> PairRow:
        """The pair. Raises CoverTooLow when the chain has none."""
        found = self.pairs.get((key.payer, key.payee))
        if found is None:
            raise CoverTooLow("the payer has allotted nothing to this payee", cover=0, cover_left=0)
        return found

    def account_of(self, key: LaneKey) -> tuple[LaneRow, AccountRow]:
        """The lane and its account for an admission, new ones included (not yet kept).

        Raises StaleGeneration, WrongSignature, and LaneFrozen when an earlier generation must be resynchronised first.
        """
        generation = self.generations.get(key.payee, 0)
        if key.generation != generation:
            raise StaleGeneration("the payee's generation has changed: sign anew", generation=generation)
        cap = self._cap_of(key)
        lane = self.lanes.get((key.payer, key.payee, key.lane)) or LaneRow((key.payer, key.payee, key.lane))
        found = lane.accounts.get(key.generation)
        if found is None:
            _check_fresh(lane, key.generation)
            found = AccountRow(LaneState(key, cap=cap), is_new=True)
        return lane, found

    def _cap_of(self, key: LaneKey) -> Amount:
        """The signer's cap for a pair; the payer's own key has none."""
        if key.lane == key.payer:
            return Amount(U128_MAX)
        found = self.signers.get(key.lane)
        if found is None or found[1] != key.payer or not found[3]:
            raise WrongSignature("the signer is unknown, thawing or another payer's", recovered="0x" + key.lane.hex())
        return Amount(int(found[2]))


def _check_fresh(lane: LaneRow, generation: int) -> None:
    """Rule 6: what an earlier generation (or a lost database) charged must be agreed on before anything is added.

    A lane that these books do not know may have a history all the same, in books that were lost: from the second
    generation on its owner says so (with its last receipt) or signs that there is none.
    """
    if lane.accounts or lane.claimed or generation > 1:
        charged = max((row.state.charged for row in lane.accounts.values()), default=lane.claimed)
        raise LaneFrozen("this lane must be resynchronised first: send your last receipt", charged=charged)


def load_working_set(session: Session, kept: WorkingSet | None, wanted: set[Triple]) -> WorkingSet:
    """`kept` while it is still true, with what it lacks of `wanted` added; otherwise all of `wanted` anew."""
    version = session.version()
    is_true = kept is not None and version is not None and kept.version == version and len(kept.lanes) < LANES_KEPT
    books = kept if is_true and kept is not None else WorkingSet(version=version)
    missing = {triple for triple in wanted if triple not in books.lanes}
    if missing:
        _load(session, books, missing)
    return books


def _load(session: Session, books: WorkingSet, wanted: set[Triple]) -> None:
    """One SELECT a table; pairs first, in order, because their lock guards everything below them."""
    pairs = {(payer, payee) for payer, payee, _ in wanted} - books.pairs.keys()
    for row in session.wanted(PAIRS, "pair.payer pair.payee", pairs, session.words.lock_pairs):
        payer, payee = Address(bytes(row[0])), Address(bytes(row[1]))
        books.pairs[payer, payee] = PairRow(PairState(payer, payee, Amount(int(row[2])), Amount(int(row[3]))))
    for row in session.wanted(PAYEES, "payee_state.payee", {(payee,) for _, payee, _ in wanted}):
        books.generations[Address(bytes(row[0]))] = row[1]
    signers = {(lane,) for payer, _, lane in wanted if lane != payer}
    for row in session.wanted(SIGNERS, "signer.signer", signers):
        books.signers[Address(bytes(row[0]))] = (row[0], bytes(row[1]), row[2], row[3])
    _load_lanes(session, books, wanted)


def _load_lanes(session: Session, books: WorkingSet, wanted: set[Triple]) -> None:
    by_id: dict[int, LaneRow] = {}
    for row in session.wanted(LANES, "lane.payer lane.payee lane.lane", wanted):
        key = (Address(bytes(row[1])), Address(bytes(row[2])), Address(bytes(row[3])))
        books.lanes[key] = by_id[row[0]] = LaneRow(key, row[0], Amount(int(row[4])))
    for row in session.wanted(ACCOUNTS, "account.lane_id", [(number,) for number in by_id]):
        lane = by_id[row[0]]
        lane.accounts[row[1]] = AccountRow(_state_of(books, lane, row), row[6])


def _state_of(books: WorkingSet, lane: LaneRow, row: Row) -> LaneState:
    payer, payee, signer = lane.key
    cap = U128_MAX if signer == payer else int(books.signers[signer][2]) if signer in books.signers else 0
    return LaneState(
        key=LaneKey(payer, payee, signer, row[1]),
        base=Amount(int(row[2])),
        charged=Amount(int(row[3])),
        reserved=Amount(int(row[4])),
        best=Amount(int(row[5])),
        claimed=lane.claimed,
        cap=Amount(cap),
        seq=row[7],
        count=row[8],
        is_frozen=bool(row[9]),
    )


def load_requests(session: Session, books: WorkingSet, requests: Iterable[Request]) -> dict[Request, int]:
    """The voucher ids of those requests that the ledger knows."""
    keys: list[Row] = []
    lanes: dict[int | None, Triple] = {}
    for triple, request_id in requests:
        lane = books.lanes.get(triple)
        if lane is not None:
            lanes[lane.id] = triple
            keys.append((lane.id, bytearray(request_id)))
    found = session.wanted(VOUCHERS, "voucher.lane_id voucher.request_id", keys)
    return {(lanes[lane_id], Bytes32(bytes(request_id))): number for lane_id, request_id, number in found}


def load_open(session: Session, voucher_ids: Iterable[int]) -> set[int]:
    """Those vouchers that are still reserved."""
    return {row[0] for row in session.wanted(OPEN, "reservation.voucher_id", [(number,) for number in voucher_ids])}


def load_known(session: Session, voucher_ids: dict[int, Request]) -> dict[Request, Stored]:
    """Whole rows of known requests: only repeats need them."""
    found = session.wanted(STORED, "voucher.id", [(number,) for number in voucher_ids])
    return {voucher_ids[row[0]]: stored_of(row) for row in found}
