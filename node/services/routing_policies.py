"""The provider's own settings in force: read from its file at start and whenever that file changes (docs/policies.md).

A file that cannot be read or has one bad setting changes nothing: the old settings stay, the fault is logged and shown.
"""

import importlib
import json
import logging
import tomllib
from collections.abc import Callable
from pathlib import Path

from node.core.errors import BadConfig, WwwserveError
from node.core.routing.config import BadProviderConfig, ProviderConfig, build_config
from node.core.routing.policy import POLICIES, Policy, build_policy

log = logging.getLogger(__name__)


def parse_policy_file(name: str, text: str) -> ProviderConfig:
    """TOML, or JSON for a file that is called so. Raises BadProviderConfig naming what is wrong."""
    try:
        table = json.loads(text) if name.endswith(".json") else tomllib.loads(text)
    except ValueError as exc:
        raise BadProviderConfig(f"{name} cannot be parsed: {exc}", setting=name) from exc
    if not isinstance(table, dict):
        raise BadProviderConfig(f"{name} must be a table of settings", setting=name)
    return build_config(table)


def make_policy(config: ProviderConfig) -> Policy:
    """A policy by its name, or a provider's own class as `package.module:Class`, built with the settings."""
    if config.policy in POLICIES or ":" not in config.policy:
        return build_policy(config)
    module, _, name = config.policy.partition(":")
    try:
        policy: Policy = getattr(importlib.import_module(module), name)(config)
    except (ImportError, AttributeError, TypeError) as exc:
        raise BadProviderConfig(f"the policy {config.policy!r} cannot be made: {exc}", setting="policy") from exc
    if not callable(getattr(policy, "decide", None)):
        raise BadProviderConfig(f"{config.policy!r} has no method decide(case, dice)", setting="policy")
    return policy


class Policies:
    """The settings in force and the policy they name."""

    def __init__(self, file: Path | None = None, config: ProviderConfig | None = None) -> None:
        """Raises BadConfig when the file is missing or wrong: a node does not start with settings nobody chose."""
        self._file = file
        self._seen = b""
        self.fault = ""
        """What is wrong with the file as it is now; "" when it is in force."""
        self.config = config or ProviderConfig()
        self.policy = make_policy(self.config)
        self.on_change: Callable[[ProviderConfig], None] = lambda _: None
        if file is not None and not self.reload():
            raise BadConfig(f"the policy file: {self.fault}", file=str(file))

    def reload(self) -> bool:
        """Take the file's settings if it changed; whether what the file says is in force."""
        if self._file is None:
            return True
        try:
            raw = self._file.read_bytes()
            if raw == self._seen:
                return not self.fault
            self._seen = raw
            config = parse_policy_file(self._file.name, raw.decode())
            policy = make_policy(config)
        except (OSError, UnicodeDecodeError, WwwserveError) as exc:
            self._note(str(exc))
            return False
        self.config, self.policy, self.fault = config, policy, ""
        self.on_change(config)
        log.info("policy settings in force: %s", config)
        return True

    def _note(self, fault: str) -> None:
        if fault != self.fault:
            log.warning("the policy file is not taken, the old settings stay: %s", fault)
        self.fault = fault
