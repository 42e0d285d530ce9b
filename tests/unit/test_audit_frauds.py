"""Every seeded history: the auditor finds exactly what was planted; every code has a plant and a page."""

import json
import re
from pathlib import Path

import pytest

from node.audit.catalogue import CATALOGUE
from node.audit.documents import parse_held
from node.audit.errors import CannotAuditError
from node.audit.findings import MAX_FINDINGS_PER_CODE, Report
from node.audit.result import audit_to_json
from tests.frauds.auditing import audit_history, codes_of
from tests.frauds.generate import build
from tests.frauds.market import STORIES, busy, payee, settled
from tests.frauds.run import CASES, load, main

FOLDERS = sorted(CASES.iterdir())
DOCS = Path(__file__).parents[2] / "docs" / "auditing.md"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_verify__seeded_history__finds_exactly_what_was_planted(folder: Path) -> None:
    history, expected = load(folder)
    assert codes_of(audit_history(history)) == expected["codes"]


@pytest.mark.parametrize("name", ["over-claim", "honest-plain", "offer-replaced"])
def test_generate__same_seed__writes_the_same_history(name: str) -> None:
    history, expected = build(name)
    assert (json.loads(json.dumps(history)), expected) == load(CASES / name)


def test_cases__all_stories__are_written_down() -> None:
    assert {folder.name for folder in FOLDERS} >= set(STORIES)


def test_catalogue__every_code__has_a_seeded_fraud() -> None:
    planted = {code for folder in FOLDERS for code in load(folder)[1]["codes"]}
    assert set(CATALOGUE) - planted == set()


def test_catalogue__every_code__is_explained() -> None:
    text = DOCS.read_text()
    heads = {code: f"### {code} {rule.title}\n{rule.severity}, hurts {rule.hurts}" for code, rule in CATALOGUE.items()}
    assert [code for code, head in heads.items() if head not in text] == []


def test_docs__every_example__is_a_seeded_history() -> None:
    examples = " ".join(re.findall(r"^Example: (.*)\.$", DOCS.read_text(), re.MULTILINE))
    names = set(re.findall(r"[a-z]+(?:-[a-z]+)+", re.sub(r"`[^`]*`", "", examples))) | {"convicted"}
    assert names - {folder.name for folder in FOLDERS} == set()


def test_main__wrong_expectation__counts_as_failed(tmp_path: Path, monkeypatch, capsys) -> None:
    history, _ = load(CASES / "over-claim")
    folder = tmp_path / "case"
    folder.mkdir()
    (folder / "history.json").write_text(json.dumps(history))
    (folder / "expected.json").write_text(json.dumps({"codes": [], "story": "none"}))
    monkeypatch.setattr("tests.frauds.run.CASES", tmp_path)
    assert main([]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed"


def test_report__more_findings_than_kept__counts_them_all() -> None:
    report = Report()
    for number in range(MAX_FINDINGS_PER_CODE + 5):
        report.add("AUD-045", "too much", seq=number)
    assert len(report.findings) == MAX_FINDINGS_PER_CODE
    assert report.violations == MAX_FINDINGS_PER_CODE + 5


def test_result__duplicated_request__is_in_the_counts() -> None:
    found = audit_to_json(audit_history(load(CASES / "duplicated-request")[0]))
    assert (found["ok"], found["counts"]["duplicated_requests"], found["counts"]["violations"]) == (False, 1, 1)
    finding = found["findings"][0]
    assert (finding["code"], finding["severity"], finding["hurts"]) == ("AUD-051", "critical", "payer")
    assert finding["evidence"]["request_id"].startswith("0x")


def test_result__honest_history__adds_up() -> None:
    world = settled(3)
    found = audit_to_json(audit_history(world.history()))
    charged = world.lane("alice", "north").charged
    assert found["ok"]
    assert found["counts"]["charged_base_units"] == found["counts"]["settled_base_units"] == charged
    row = next(row for row in found["pairs"] if row["payer"] == payee("alice") and row["payee"] == payee("north"))
    assert (row["claimed"], row["charged"], row["receipts"]) == (charged, charged, 3)
    json.dumps(found)


def test_verify__only_one_lane__leaves_the_others_alone() -> None:
    world = settled()
    world.serve("bob", "north", signed_by={"receipt": "mallory"})
    world.settle("bob", "north")
    history = world.history()
    assert codes_of(audit_history(history)) == ["AUD-040"]
    alice = tuple(bytes.fromhex(payee(name)[2:]) for name in ("alice", "north"))
    assert codes_of(audit_history(history, lane=alice)) == []


def test_verify__many_pages__are_followed_to_the_end() -> None:
    world = busy(1_205)
    world.settle("alice", "north")
    audit = audit_history(world.history())
    assert (codes_of(audit), audit.report.counts.receipts) == ([], 1_205)


@pytest.mark.parametrize("following", [0, 3, 700])
def test_verify__page_points_nowhere__is_malformed_and_ends(following: int, monkeypatch) -> None:
    from tests.frauds.serving import Served

    honest = Served._settlement

    def bent(self, name: str, root: str, query: dict) -> tuple[int, object]:
        status, answer = honest(self, name, root, query)
        return status, answer | {"next": following, "receipts": answer["receipts"][:2]}

    world = busy(5)
    world.settle("alice", "north")
    monkeypatch.setattr(Served, "_settlement", bent)
    assert codes_of(audit_history(world.history())) == ["AUD-033"]


def test_verify__endpoint_given_by_hand__is_asked_instead() -> None:
    world = settled()
    world.options = {"endpoints": {payee("north"): "http://127.0.0.1/nobody"}}
    assert codes_of(audit_history(world.history())) == ["AUD-030"]


def test_verify__held_receipt_without_terms__is_still_compared() -> None:
    world = settled()
    entry = world.lane("alice", "north").entries[0]
    held = [parse_held({name: entry[name] for name in ("receipt", "signature")})]
    audit = audit_history(world.history(), held=held)
    assert (codes_of(audit), audit.report.counts.held_receipts) == ([], 1)


def test_verify__escrow_without_code_in_it__cannot_audit(monkeypatch) -> None:
    from tests.frauds.serving import Served

    monkeypatch.setattr(Served, "_call", lambda *_: None)
    with pytest.raises(CannotAuditError):
        audit_history(settled().history())
