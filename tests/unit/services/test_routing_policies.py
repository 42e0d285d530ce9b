"""Policy files: taken whole or not at all, while the node runs; a provider's own class by its import path."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from node.core.errors import BadConfig
from node.core.routing.config import BadProviderConfig, ProviderConfig
from node.core.routing.paper import Paper
from node.core.routing.types import Case, Decision, Dice, Reason, ServeHere
from node.services.routing_policies import Policies, make_policy, parse_policy_file


@dataclass(frozen=True, slots=True)
class Mine:
    """A provider's own policy, as docs/policies.md shows one."""

    config: ProviderConfig

    def decide(self, case: Case, dice: Dice) -> Decision:
        return ServeHere(Reason.OWN_ENGINE_FREE)


class NoPolicy:
    def __init__(self, config: ProviderConfig) -> None:
        self.config = config


def test_policies__toml_and_json__say_the_same() -> None:
    toml = parse_policy_file("policy.toml", 'policy = "paper"\nserve_hours = ["22:00-06:00"]\n')
    assert toml == parse_policy_file("policy.json", '{"policy": "paper", "serve_hours": ["22:00-06:00"]}')


@pytest.mark.parametrize("text", ["policy = ", "[1]", 'candidates = "3"', "unknown = 1", "offload_margin = -1.0"])
def test_parse_policy_file__bad__is_refused(text: str) -> None:
    with pytest.raises(BadProviderConfig):
        parse_policy_file("policy.toml", text)


def test_parse_policy_file__json_that_is_no_table__is_refused() -> None:
    with pytest.raises(BadProviderConfig):
        parse_policy_file("policy.json", "[]")


def test_policies__file_changes__is_in_force_at_the_next_look(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("candidates = 2\n")
    policies = Policies(file)
    assert policies.config.candidates == 2
    heard = []
    policies.on_change = heard.append
    file.write_text('policy = "paper"\n')
    assert policies.reload()
    assert isinstance(policies.policy, Paper)
    assert [config.policy for config in heard] == ["paper"]
    assert policies.reload()
    assert len(heard) == 1


def test_policies__bad_change__keeps_the_old_settings_and_names_the_fault(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("candidates = 2\n")
    policies = Policies(file)
    file.write_text("candidates = 2\nhop_limit = 99\n")
    assert not policies.reload()
    assert not policies.reload()
    assert policies.config.candidates == 2
    assert "hop_limit" in policies.fault
    file.write_text("candidates = 4\n")
    assert policies.reload()
    assert (policies.config.candidates, policies.fault) == (4, "")


def test_policies__file_gone__keeps_the_old_settings(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("candidates = 2\n")
    policies = Policies(file)
    file.unlink()
    assert not policies.reload()
    assert policies.config.candidates == 2


def test_policies__bad_at_start__does_not_start(tmp_path: Path) -> None:
    with pytest.raises(BadConfig):
        Policies(tmp_path / "missing.toml")


def test_make_policy__import_path__builds_the_providers_class() -> None:
    assert isinstance(make_policy(ProviderConfig(policy=f"{__name__}:Mine")), Mine)


@pytest.mark.parametrize("policy", ["nobody", "no.such.module:Mine", f"{__name__}:Missing", f"{__name__}:NoPolicy"])
def test_make_policy__nothing_there__is_refused_by_name(policy: str) -> None:
    with pytest.raises(BadProviderConfig) as caught:
        make_policy(ProviderConfig(policy=policy))
    assert caught.value.facts["setting"] == "policy"
