"""The deployment file: round trip, and what each wrong member is told."""

import json
from pathlib import Path

import pytest

from node.core.errors import BadConfig
from node.core.types import ZERO32, Address, Seconds
from node.deployment import Deployment, deployment_from_json, deployment_to_json, load_deployment, save_deployment

DEPLOYMENT = Deployment(
    chain_id=31337,
    escrow=Address(b"\x01" * 20),
    registry=Address(b"\x02" * 20),
    duels=None,
    currency=Address(b"\x03" * 20),
    currency_symbol="DEV",
    currency_decimals=6,
    deploy_block=1,
    block_hash=ZERO32,
    thaw_seconds=Seconds(86_400),
    artifacts_hash=ZERO32,
)


def test_save_and_load__a_deployment__is_the_same(tmp_path: Path) -> None:
    save_deployment(tmp_path / "new" / "deployment.json", DEPLOYMENT)
    assert load_deployment(tmp_path / "new" / "deployment.json") == DEPLOYMENT
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_deployment__derived_facts__follow_from_the_file() -> None:
    assert (DEPLOYMENT.network, DEPLOYMENT.is_development) == ("eip155:31337", True)
    assert DEPLOYMENT.domain.escrow == DEPLOYMENT.escrow


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("schema", 2),
        ("chain_id", "x"),
        ("chain_id", -1),
        ("chain_id", True),
        ("escrow", None),
        ("escrow", "0x12"),
        ("duels", "0x"),
        ("currency_symbol", "D\nEV"),
        ("currency_symbol", 5),
        ("currency_decimals", 256),
        ("block_hash", "0x00"),
        ("thaw_seconds", 1.5),
    ],
)
def test_deployment_from_json__one_wrong_member__is_refused(member: str, value: object) -> None:
    document = {**deployment_to_json(DEPLOYMENT), member: value}
    with pytest.raises(BadConfig):
        deployment_from_json(document)


def test_load_deployment__missing_or_not_json__says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"run scripts/deploy\.py"):
        load_deployment(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(BadConfig, match="not JSON"):
        load_deployment(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text(json.dumps([1]))
    with pytest.raises(BadConfig, match="schema"):
        load_deployment(tmp_path / "list.json")
