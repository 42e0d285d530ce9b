"""The deployment file: which contracts on which chain. Read whole and checked before anything is asked of the world."""

from dataclasses import dataclass
from pathlib import Path

import orjson

from node.audit.crypto import ZERO32, octets_of, uint_of
from node.audit.errors import CannotAuditError, MalformedError

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Deployment:
    """One set of contracts; `duels` is empty for a set without them.

    `block_hash` is that of the deploy block (zeros when the file does not say).
    """

    chain_id: int
    escrow: bytes
    registry: bytes
    duels: bytes
    currency: bytes
    currency_symbol: str
    currency_decimals: int
    deploy_block: int
    block_hash: bytes

    @property
    def contracts(self) -> dict[bytes, str]:
        """Whose events count, by address."""
        known = {self.escrow: "escrow", self.registry: "registry"}
        return known | ({self.duels: "duels"} if self.duels else {})


def load_deployment(path: Path) -> Deployment:
    """Read a deployment file. Raises CannotAuditError saying what is wrong with it."""
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as exc:
        raise CannotAuditError(
            f"cannot read the deployment file {path}: {exc.strerror}; give --deployment FILE"
        ) from exc
    except orjson.JSONDecodeError as exc:
        raise CannotAuditError(f"the deployment file {path} is not JSON ({exc})") from exc
    try:
        return parse_deployment(document)
    except MalformedError as exc:
        raise CannotAuditError(f"the deployment file {path} is not usable: {exc}") from exc


def parse_deployment(document: object) -> Deployment:
    """A deployment from its JSON object. Raises MalformedError."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise MalformedError(f"it is not a deployment of schema {SCHEMA}")
    block_hash = document.get("block_hash")
    return Deployment(
        chain_id=uint_of(document.get("chain_id"), 64, "chain_id"),
        escrow=_address(document, "escrow"),
        registry=_address(document, "registry"),
        duels=_address(document, "duels") if document.get("duels") else b"",
        currency=_address(document, "currency"),
        currency_symbol=str(document.get("currency_symbol", "")),
        currency_decimals=uint_of(document.get("currency_decimals", 0), 8, "currency_decimals"),
        deploy_block=uint_of(document.get("deploy_block"), 64, "deploy_block"),
        block_hash=octets_of(block_hash, 32, "block_hash") if block_hash else ZERO32,
    )


def _address(document: dict[str, object], name: str) -> bytes:
    return octets_of(document.get(name), 20, name)
