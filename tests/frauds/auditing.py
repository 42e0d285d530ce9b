"""Audits a history in memory, exactly as the command line would over the network."""

import httpx

from node.audit.crypto import octets_of
from node.audit.deployment import Deployment, parse_deployment
from node.audit.documents import parse_held
from node.audit.rpc import Rpc
from node.audit.verify import Audit, Scope, verify
from node.audit.web import Web
from tests.frauds.serving import Served


def no_pause(_seconds: float) -> None:
    """Retries need not wait here."""


def deployment_of(history: dict) -> Deployment:
    return parse_deployment(
        {"duels": history.get("duels")}
        | {name: history[name] for name in ("chain_id", "escrow", "registry", "currency", "deploy_block")}
        | {"schema": 1, "currency_symbol": "DEV", "currency_decimals": 6}
    )


def audit_history(history: dict, **scope: object) -> Audit:
    """Raises CannotAuditError like the real thing."""
    served = Served(history)
    client = httpx.Client(transport=served.transport())
    options = history["options"]
    names = ["", *options.get("more_rpcs", [])]
    rpcs = [Rpc(f"http://127.0.0.1/rpc{name}", client, no_pause) for name in names]
    endpoints = {octets_of(payee, 20, "payee"): url for payee, url in options.get("endpoints", {}).items()}
    wanted = {
        "block": str(options.get("block", "finalized")),
        "endpoints": endpoints,
        "wants_unsettled": options.get("receipts", False),
        "held": [parse_held(row) for row in history["held"]],
    }
    web = Web(client, options.get("allow_private", True), no_pause)
    return verify(deployment_of(history), rpcs, web, Scope(**(wanted | scope)))


def codes_of(audit: Audit) -> list[str]:
    return sorted(audit.report.totals)
