"""Offer documents on disk: {"offer": {...}} as in `GET /v1/offers/{hash}`, without the signature (the node adds it)."""

import json
from pathlib import Path

from node.core.errors import BadConfig, BadVoucher
from node.core.messages import Offer
from node.core.wire import offer_from_json, offer_to_json


def read_offer(file: Path) -> Offer:
    """An offer file. Raises BadConfig."""
    try:
        document = json.loads(file.read_text())
    except OSError as exc:
        raise BadConfig(f"cannot read the offer {file}: {exc.strerror}; make one with `register.py offer`") from exc
    except ValueError as exc:
        raise BadConfig(f"the offer {file} is not JSON") from exc
    try:
        return offer_from_json(document.get("offer") if isinstance(document, dict) else None)
    except BadVoucher as exc:
        raise BadConfig(f"the offer {file} is wrong: {exc.message}") from exc


def save_offer(out: Path, offer: Offer) -> None:
    """Write an offer file. Raises BadConfig."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"offer": offer_to_json(offer)}, indent=2) + "\n")
    except OSError as exc:
        raise BadConfig(f"cannot write {out}: {exc.strerror}") from exc
