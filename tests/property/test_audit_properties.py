"""Properties of the auditor: silent on every honest market, never silent when one served member is changed."""

import copy

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.audit.tree import Tree, is_frontier, leaf_of
from node.core.merkle import Peaks, leaf_hash
from tests.frauds.auditing import audit_history, codes_of
from tests.frauds.bulk import honest_market
from tests.frauds.market import settled

SETTLED = settled(4).history()
LANE = "alice|north|alice|1"
SIGNATURES = ("signature", "voucherSignature")
SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(20, 120))
def test_verify__any_honest_market__finds_nothing(seed: int, lanes: int, requests: int) -> None:
    history = honest_market(requests, lanes, seed, settle_every=15).history()
    assert codes_of(audit_history(history)) == []


@SLOW
@given(st.integers(0, 10**6))
def test_verify__any_honest_market_with_unsettled_receipts__finds_nothing(seed: int) -> None:
    world = honest_market(40, 4, seed, settle_every=15)
    for _ in range(5):
        world.serve("payer 0", "north")
    audit = audit_history(world.history(), wants_unsettled=True)
    assert codes_of(audit) == []
    assert audit.report.counts.unsettled_receipts >= 5  # and what a lane had too little of to be settled


@st.composite
def changed_histories(draw) -> dict:
    """One member of one served message changed to another value of its type."""
    history = copy.deepcopy(SETTLED)
    entry = draw(st.sampled_from(history["lanes"][LANE]))
    part = draw(st.sampled_from(["receipt", "terms", "voucher", *SIGNATURES]))
    if part in SIGNATURES:
        entry[part] = _flipped(entry[part], draw(st.integers(0, 64 * 8 - 1)))
        return history
    name = draw(st.sampled_from(sorted(entry[part])))
    old = entry[part][name]
    if isinstance(old, str) and old.startswith("0x"):
        entry[part][name] = _flipped(old, draw(st.integers(0, (len(old) - 2) * 4 - 1)))
    else:
        entry[part][name] = _other_number(int(old), draw(st.integers(1, 9)), is_text=isinstance(old, str))
    return history


def _flipped(text: str, bit: int) -> str:
    raw = bytearray.fromhex(text[2:])
    raw[bit // 8] ^= 1 << bit % 8
    return "0x" + raw.hex()


def _other_number(old: int, step: int, *, is_text: bool) -> object:
    new = old + step
    return str(new) if is_text else new


@settings(max_examples=300, deadline=None)
@given(changed_histories())
def test_verify__one_served_member_changed__is_never_silent(history: dict) -> None:
    assert codes_of(audit_history(history)) != []


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=70))
def test_tree__any_leaves__gives_the_nodes_root_and_peaks(hashes: list[bytes]) -> None:
    tree, peaks = Tree(), Peaks()
    for struct_hash in hashes:
        tree.add(leaf_of(struct_hash))
        peaks = peaks.append(leaf_hash(struct_hash))
    assert (tree.root(), tree.peaks) == (peaks.root, list(peaks.hashes))
    assert is_frontier(tree.count, tree.peaks)
    resumed = Tree(tree.count, tree.peaks)
    resumed.add(b"\x01" * 32)
    assert resumed.root() == peaks.append(b"\x01" * 32).root
