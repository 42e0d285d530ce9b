"""A draw made by the node's code, checked by the auditor's; then every way in which a dispatcher may cheat."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from node.adapters.keys import LocalSigner, Secret
from node.audit.draw import CODES, DrawContext, DrawReport, check_draw, order_of
from node.audit.structs import domain_separator
from node.cli.audit import app
from node.core.bids import Bid, ModelBid, SignedBid, bid_to_json
from node.core.hashing import Domain, keccak
from node.core.routing.draw import StakeTable, draw_seed
from node.core.routing.enquiry import Refusal, SignedRefusal, refusal_to_json
from node.core.routing.record import Act, DrawRecord, Step, record_hash
from node.core.routing.types import Skip
from node.core.types import ZERO32, Address, Amount, Bytes32, Micros

DOMAIN = Domain.of(31337, Address(b"\xee" * 20))
REQUEST, BLOCK = Bytes32(b"\x11" * 32), Bytes32(b"\x22" * 32)
NAMES = [Address(bytes([n]) * 20) for n in range(1, 13)]
KEYS = {name: LocalSigner(Secret(bytes([n]) * 32)) for n, name in enumerate(NAMES, start=1)}
ME = NAMES[0]
STAKES = {name: Amount(1_000 + 17 * place) for place, name in enumerate(NAMES)}
ORDER = list(StakeTable(STAKES.items()).order(draw_seed(REQUEST, DOMAIN.separator, ME)))
CONTEXT = DrawContext(
    separator=domain_separator(31337, b"\xee" * 20),
    block_hash=BLOCK,
    block_at=1_000,
    is_final=True,
    stakes=dict(STAKES),
    operators={name: frozenset({KEYS[name].address}) for name in NAMES},
)


def bid_of(
    provider: Address, request_id: Bytes32 = REQUEST, key: LocalSigner | None = None, issued_at: int = 9
) -> dict[str, Any]:
    row = ModelBid(keccak(b"m"), Amount(1), Amount(2), 3, 4, 5, 6, 7, 8)
    bid = Bid(provider, request_id, 1, Micros(issued_at), (row,))
    return bid_to_json(SignedBid(bid, (key or KEYS[provider]).sign(DOMAIN.digest(bid.struct_hash()))))


def refusal_of(provider: Address, reason: Skip, asker: Address = ME) -> dict[str, Any]:
    refusal = Refusal(provider, asker, REQUEST, reason, Micros(5))
    return refusal_to_json(SignedRefusal(refusal, KEYS[provider].sign(DOMAIN.digest(refusal.struct_hash()))))


def honest_steps() -> list[Step]:
    """Passed over, refused, bid and chosen, in drawn order; the dispatcher itself where its turn comes."""
    steps: list[Step] = []
    acts = iter(("dead", "refused", "bid", "chosen"))
    for name in ORDER:
        if name == ME:
            steps.append(Step(name, Act.SKIPPED, Skip.SELF))
            continue
        act = next(acts, None)
        if act is None:
            break
        steps.append(
            {
                "dead": Step(name, Act.SKIPPED, Skip.DEAD),
                "refused": Step(name, Act.REFUSED, Skip.REFUSED_BUSY, refusal_of(name, Skip.REFUSED_BUSY)),
                "bid": Step(name, Act.BID, "", bid_of(name)),
                "chosen": Step(name, Act.CHOSEN, "", bid_of(name)),
            }[act]
        )
    return steps


def record_of(steps: list[Step], **changes: Any) -> DrawRecord:
    record = DrawRecord(REQUEST, ME, 7, BLOCK, "m", 1, "Offload", "best_bid", Micros(1_001_000_000), tuple(steps))
    return replace(record, **changes)


def codes_of(record: DrawRecord, context: DrawContext = CONTEXT, key: LocalSigner = KEYS[ME]) -> list[str]:
    document = record.document()
    report = DrawReport()
    check_draw(document, key.sign(DOMAIN.digest(record_hash(document))), (REQUEST, ME, 1), context, report)
    return sorted({code for code, _ in report.findings})


@pytest.mark.parametrize("seed", range(30))
def test_order__node_and_auditor__agree(seed: int) -> None:
    stakes = {Address(bytes([seed, n]) * 10): Amount((seed * 31 + n * n) % 997) for n in range(150)}
    start = keccak(bytes([seed]))
    assert list(order_of(start, stakes)) == list(StakeTable(stakes.items()).order(start))


def test_check_draw__honest__finds_nothing() -> None:
    assert codes_of(record_of(honest_steps())) == []


def test_check_draw__any_block_of_the_same_stakes__allows_one_order_only() -> None:
    """Else a dispatcher had an order to choose from for every recent block."""
    other = Bytes32(b"\x77" * 32)
    elsewhere = replace(CONTEXT, block_hash=other)
    assert codes_of(record_of(honest_steps(), block_hash=other), elsewhere) == []
    by_block = StakeTable(STAKES.items()).order(keccak(REQUEST + other + ME))
    steps = [Step(name, Act.SKIPPED, Skip.SELF if name == ME else Skip.NO_MODEL) for name in by_block]
    assert "DRW-05" in codes_of(record_of(steps, block_hash=other, decision="Wait"), elsewhere)


def test_check_draw__provider_left_out__is_found() -> None:
    steps = honest_steps()
    del steps[0]
    assert "DRW-05" in codes_of(record_of(steps))


def test_check_draw__favourite_put_first__is_found() -> None:
    steps = honest_steps()
    assert "DRW-05" in codes_of(record_of([steps[-1], *steps[:-1]]))


def test_check_draw__skip_without_reason__is_found() -> None:
    steps = [replace(step, reason="") if step.reason == Skip.DEAD else step for step in honest_steps()]
    assert codes_of(record_of(steps)) == ["DRW-06"]


def test_check_draw__refusal_without_the_peers_word__is_found() -> None:
    steps = [replace(step, evidence=None) if step.act is Act.REFUSED else step for step in honest_steps()]
    assert codes_of(record_of(steps)) == ["DRW-06"]


def test_check_draw__refusal_to_another_asker__is_found() -> None:
    steps = [
        replace(step, evidence=refusal_of(step.provider, Skip.REFUSED_BUSY, NAMES[5]))
        if step.act is Act.REFUSED
        else step
        for step in honest_steps()
    ]
    assert codes_of(record_of(steps)) == ["DRW-07"]


def test_check_draw__bid_made_up_by_the_dispatcher__is_found() -> None:
    steps = [
        replace(step, evidence=bid_of(step.provider, key=KEYS[ME])) if step.act is Act.CHOSEN else step
        for step in honest_steps()
    ]
    assert codes_of(record_of(steps)) == ["DRW-07"]


@pytest.mark.parametrize(("seconds", "codes"), [(-2, []), (1, []), (-31, ["DRW-07"]), (31, ["DRW-07"])])
def test_check_draw__standing_bid__holds_if_it_was_made_about_then(seconds: int, codes: list[str]) -> None:
    at = 1_001_000_000 + seconds * 1_000_000
    steps = [
        replace(step, evidence=bid_of(step.provider, ZERO32, issued_at=at)) if step.act is Act.CHOSEN else step
        for step in honest_steps()
    ]
    assert codes_of(record_of(steps)) == codes


def test_check_draw__bid_for_another_request__is_found() -> None:
    other = Bytes32(b"\x33" * 32)
    steps = [
        replace(step, evidence=bid_of(step.provider, other)) if step.act is Act.CHOSEN else step
        for step in honest_steps()
    ]
    assert codes_of(record_of(steps)) == ["DRW-07"]


def test_check_draw__chosen_without_a_bid__is_found() -> None:
    steps = [replace(step, evidence=None) if step.act is Act.CHOSEN else step for step in honest_steps()]
    assert codes_of(record_of(steps)) == ["DRW-08"]


def test_check_draw__two_chosen__is_found() -> None:
    steps = [replace(step, act=Act.CHOSEN) if step.act is Act.BID else step for step in honest_steps()]
    assert codes_of(record_of(steps)) == ["DRW-08"]


def test_check_draw__offload_without_a_choice__is_found() -> None:
    steps = [replace(step, act=Act.BID) if step.act is Act.CHOSEN else step for step in honest_steps()]
    assert codes_of(record_of(steps)) == ["DRW-08"]


def test_check_draw__another_key__is_found() -> None:
    assert codes_of(record_of(honest_steps()), key=KEYS[NAMES[3]]) == ["DRW-01"]


def test_check_draw__record_of_another_round__is_found() -> None:
    assert codes_of(record_of(honest_steps(), round=2)) == ["DRW-02"]


def test_check_draw__block_ground_out_by_the_dispatcher__is_found() -> None:
    assert "DRW-03" in codes_of(record_of(honest_steps(), block_hash=Bytes32(b"\x77" * 32)))


def test_check_draw__block_not_finalised__is_found() -> None:
    assert codes_of(record_of(honest_steps()), replace(CONTEXT, is_final=False)) == ["DRW-03"]


def test_check_draw__old_block_chosen_for_its_order__is_found() -> None:
    assert codes_of(record_of(honest_steps(), made_at=Micros(90_000_000_000))) == ["DRW-04"]


def test_check_draw__everybody_dead_by_the_dispatchers_word__is_found() -> None:
    steps = [Step(name, Act.SKIPPED, Skip.SELF if name == ME else Skip.DEAD) for name in ORDER]
    assert codes_of(record_of(steps, decision="ServeHere")) == ["DRW-09"]


def test_check_draw__somebody_else_skipped_as_self__is_found() -> None:
    steps = [replace(step, reason=Skip.SELF) if step.reason == Skip.DEAD else step for step in honest_steps()]
    assert codes_of(record_of(steps)) == ["DRW-10"]


def test_codes__every_one__has_a_test_above() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [code for code in CODES if f'"{code}"' not in source] == []


def test_draw_command__no_chain__says_so_and_ends_with_two(tmp_path: Any) -> None:
    file = tmp_path / "deployment.json"
    file.write_text(json.dumps({"schema": 1}))
    done = CliRunner().invoke(
        app, ["draw", "0x" + "11" * 32, "--dispatcher", "0x" + "01" * 20, "--deployment", str(file), "--json"]
    )
    assert done.exit_code == 2
    assert json.loads(done.stdout.splitlines()[0])["ok"] is False
