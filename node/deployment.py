"""The deployment file: which chain, which contracts. Written by scripts/deploy.py, read by all; checks its shape.

It cannot tell whether the chain agrees: that is the chain adapter's check of chain id and code.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from node.core.errors import BadConfig, BadVoucher
from node.core.hashing import Domain
from node.core.types import Address, Bytes32, Seconds
from node.core.wire import address_of, bytes_of, hex_of, uint_of

SCHEMA = 1
DEVELOPMENT_CHAIN_ID = 31_337
"""The chain id of anvil and its like: play money, short windows and unlocked accounts are allowed there alone."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One set of contracts on one chain; `duels` is None for a set without duels."""

    chain_id: int
    escrow: Address
    registry: Address
    duels: Address | None
    currency: Address
    currency_symbol: str
    currency_decimals: int
    deploy_block: int
    block_hash: Bytes32
    thaw_seconds: Seconds
    artifacts_hash: Bytes32

    @property
    def domain(self) -> Domain:
        """Where this deployment's signatures are valid."""
        return Domain.of(self.chain_id, self.escrow)

    @property
    def network(self) -> str:
        """The chain as CAIP-2."""
        return f"eip155:{self.chain_id}"

    @property
    def is_development(self) -> bool:
        """Whether this is play money."""
        return self.chain_id == DEVELOPMENT_CHAIN_ID


def deployment_to_json(deployment: Deployment) -> dict[str, object]:
    """The file's content."""
    members = {name: hex_of(m) if isinstance(m, bytes) else m for name, m in asdict(deployment).items()}
    return {"schema": SCHEMA, **members}


def deployment_from_json(document: object) -> Deployment:
    """Raises BadConfig naming the member that is wrong."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise BadConfig(f"this is not a deployment file of schema {SCHEMA}")
    duels = document.get("duels")
    symbol = document.get("currency_symbol")
    if not isinstance(symbol, str) or not symbol.isprintable() or len(symbol) > 32:
        raise BadConfig("the deployment file's currency_symbol is not a short printable text")
    try:
        return Deployment(
            chain_id=uint_of(document.get("chain_id"), 64, "chain_id"),
            escrow=address_of(document.get("escrow"), "escrow"),
            registry=address_of(document.get("registry"), "registry"),
            duels=None if duels is None else address_of(duels, "duels"),
            currency=address_of(document.get("currency"), "currency"),
            currency_symbol=symbol,
            currency_decimals=uint_of(document.get("currency_decimals"), 8, "currency_decimals"),
            deploy_block=uint_of(document.get("deploy_block"), 64, "deploy_block"),
            block_hash=Bytes32(bytes_of(document.get("block_hash"), 32, "block_hash")),
            thaw_seconds=Seconds(uint_of(document.get("thaw_seconds"), 64, "thaw_seconds")),
            artifacts_hash=Bytes32(bytes_of(document.get("artifacts_hash"), 32, "artifacts_hash")),
        )
    except BadVoucher as exc:
        raise BadConfig(f"the deployment file is wrong: {exc.message}") from exc


def load_deployment(path: Path) -> Deployment:
    """Read and check a deployment file. Raises BadConfig with what to do."""
    try:
        document = json.loads(path.read_text())
    except OSError as exc:
        hint = "run scripts/deploy.py, or pass --deployment FILE"
        raise BadConfig(f"cannot read the deployment file {path}: {exc.strerror}; {hint}", file=str(path)) from exc
    except ValueError as exc:
        raise BadConfig(f"the deployment file {path} is not JSON", file=str(path)) from exc
    return deployment_from_json(document)


def save_deployment(path: Path, deployment: Deployment) -> None:
    """Write the file whole or not at all: readers start while we write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + f".{os.getpid()}.new")
    beside.write_text(json.dumps(deployment_to_json(deployment), indent=2) + "\n")
    beside.replace(path)
