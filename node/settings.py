"""Every setting of a node in one frozen class, checked at start: command line, then environment, then TOML file.

The environment names are WWWSERVE_ and the field's name in capitals (lists separated by commas). Never holds a key or a
password: only the paths of files that do (threat K1).
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from node.core.errors import BadConfig

PREFIX = "WWWSERVE_"


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Listed = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Settings(BaseModel):
    """What one node process needs to know. Amounts are base units, times seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deployment: Path = Path("deployment.json")
    """The file that scripts/deploy.py wrote."""
    rpc: Listed = ("http://127.0.0.1:8545",)
    """Ethereum JSON-RPC endpoints; the first healthy one is used."""
    keystore: Path
    """The operator key: signs receipts, claims and (unless sender_keystore is set) settlement transactions."""
    password_file: Path
    sender_keystore: Path | None = None
    """A key of its own for gas, so that the operator key holds no coin (threat K2)."""
    sender_password_file: Path | None = None
    payee: str
    """The provider's address: earns, stakes, owns the registration."""
    offer: Path
    """The offer document: models, prices, limits."""
    database: str = "sqlite:///wwwserve.db"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    engines: Listed = ()
    """Base URLs of OpenAI-compatible servers (without /v1)."""
    tokenizer: Path
    """A folder with tokenizer.json and chat_template.jinja: the billing count of every offered model."""
    max_concurrent: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Requests in service at once; more get 429 and Retry-After."""
    poll_seconds: Annotated[float, Field(gt=0, le=60)] = 1.0
    """How often the chain is read."""
    settle_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How often due lanes are looked for."""
    settle_threshold: Annotated[int, Field(ge=0)] = 1_000_000
    """A lane is settled from this unclaimed amount on (or 50 times its gas share, if that is more)."""
    currency_per_native: Annotated[int, Field(ge=0)] = 3_000_000_000
    """Base units of the currency for 1e18 wei: what gas is worth in earnings."""
    towers: Listed = ()
    """Watchtowers (scripts/watchtower.py): they claim for you when a payer thaws while this node is down."""
    tower_receipts: Annotated[int, Field(ge=1)] = 50
    """A lane's claim is pushed to the towers after so many receipts ..."""
    tower_seconds: Annotated[float, Field(gt=0)] = 60.0
    """... or after so long, if there is a new one."""
    lease_seconds: Annotated[int, Field(ge=3)] = 15
    """A crashed worker's open requests are closed, without charge, after so long."""
    max_fee_gwei: Annotated[int, Field(ge=1)] = 200
    tls_certificate: Path | None = None
    """PEM file of the certificate that your endpoint shows: peers check that the operator key vouches for it."""
    private_network: bool = False
    """Development: peers may have http endpoints and private addresses. It lifts the protection against SSRF (H1)."""
    peer_ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], BeforeValidator(_split)] = (443, 8443)
    """Ports that peers' endpoints may name."""
    offload_wallet: Path | None = None
    """This node's own file of what it buys from peers. Without it the node serves all itself and bids for nothing."""
    offload_exposure: Annotated[int, Field(ge=0)] = 10_000_000
    """How much may be signed to one peer before its receipts are checked (E of the protocol)."""
    policy: Path | None = None
    """TOML or JSON file with your policy (docs/policies.md); read again whenever it changes."""
    allot_floor: Annotated[int, Field(ge=0)] = 0
    """Allot at least this much to every live peer from the gas key's free deposit; 0: never allot by itself."""
    allot_seconds: Annotated[float, Field(gt=0)] = 60.0
    """How often allotments are looked at."""
    engine_slots: Annotated[int, Field(ge=1)] = 256
    """Sequences one engine runs at once (vLLM's --max-num-seqs)."""
    draw_days: Annotated[int, Field(ge=1)] = 90
    """How long draws are kept for auditors."""
    engine_kv_tokens: Annotated[int, Field(ge=1)] = 1_000_000
    """LLM tokens that fit one engine's KV cache (vLLM prints it at start)."""
    registry_seconds: Annotated[float, Field(gt=0)] = 2.0
    """How often the list of members is read from the books."""
    offload_payer: str = ""
    """Who pays for what is bought from peers: the gas key itself, or an address that authorised it as a signer."""
    duels: bool = False
    """Take part in duels (docs/duels.md). Your provider must be enrolled with the gas key as its delegate."""
    duel_rate_per_mille: Annotated[int, Field(ge=0, le=1000)] = 0
    """So many of a thousand offloads are duelled; 0: judge and execute, but dispatch none."""
    duel_seconds: Annotated[float, Field(gt=0, le=60)] = 2.0
    """How often duels are looked at."""
    judge: Literal["likelihood", "pairwise"] = "likelihood"
    judge_engine: str = ""
    """Base URL (without /v1) of the engine that judges; several nodes may share one."""
    judge_model: str = ""
    """The model's name there."""
    judge_answers: Path | None = None
    """JSON file of questions whose answers are known: compared exactly, before any model is asked."""
    probe_questions: Path | None = None
    """Text file, a question a line: asked of peers now and then as if they were offloads, so that they are duelled."""
    canaries: Path | None = None
    """JSON file of questions whose answers are known, for probes: judges' votes on such duels tell who is lazy."""
    probe_seconds: Annotated[float, Field(gt=0)] = 600.0
    probe_tokens: Annotated[int, Field(ge=1)] = 128
    log_level: str = "INFO"
    fail_point: str = ""
    """Development chain only: NAME:COUNT, where this process is to kill itself (adapters/failpoints.py)."""


def load_settings(overrides: Mapping[str, Any], environ: Mapping[str, str], file: Path | None = None) -> Settings:
    """Merge the sources and check them. Raises BadConfig with one line a fault."""
    values: dict[str, Any] = _from_file(file) if file else {}
    for name in Settings.model_fields:
        if (text := environ.get(PREFIX + name.upper())) is not None:
            values[name] = text
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        return Settings.model_validate(values)
    except ValidationError as exc:
        raise BadConfig(_readable(exc)) from exc


def settings_from_process(overrides: Mapping[str, Any], file: Path | None = None) -> Settings:
    """`load_settings` with this process's environment."""
    return load_settings(overrides, os.environ, file)


def _from_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as exc:
        raise BadConfig(f"cannot read the settings file {file}: {exc.strerror}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise BadConfig(f"{file} is not valid TOML: {exc}") from exc


def _readable(exc: ValidationError) -> str:
    lines = []
    for error in exc.errors():
        name = ".".join(str(part) for part in error["loc"])
        lines.append(f"{name} ({PREFIX}{name.upper()}): {error['msg']}")
    return "; ".join(lines)
