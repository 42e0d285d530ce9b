"""What a receipt may charge: its terms, the price formula (one rounding, up), the billing table. No chain, no lane."""

from node.audit.documents import Entry
from node.audit.findings import Report
from node.audit.structs import Message

PRICE_UNIT = 1_000_000
"""Prices are base units per this many LLM tokens."""
FAILED = 3
STATUSES = (1, 2, FAILED, 4)
"""complete, cancelled, failed, partial."""

Where = dict[str, str | int]


def check_price(entry: Entry, report: Report, where: Where) -> None:
    """Everything a receipt and its terms say about money, by themselves."""
    receipt, terms = entry.receipt, entry.terms
    _check_billing(receipt, report, where)
    if terms is None:
        return
    if terms.struct_hash != receipt.octets["context"]:
        report.add("AUD-043", "the terms do not hash to the receipt's context", **where)
    for name in ("requestId", "requestHash"):
        if terms.octets[name] != receipt.octets[name]:
            report.add("AUD-044", f"{name} differs", **where)
    _check_charge(receipt, terms, report, where)


def _check_charge(receipt: Message, terms: Message, report: Report, where: Where) -> None:
    charge, most = receipt.numbers["charge"], terms.numbers["maxPrice"]
    millionths = receipt.numbers["promptTokens"] * terms.numbers["pricePrompt"]
    millionths += receipt.numbers["completionTokens"] * terms.numbers["priceCompletion"]
    price = (millionths + PRICE_UNIT - 1) // PRICE_UNIT
    if charge > most:
        report.add("AUD-047", f"charged {charge}, maxPrice {most}", **where)
    if charge > price:
        report.add("AUD-045", f"charged {charge}, the formula gives {price}", **where)
    if charge < min(price, most):
        report.add("AUD-046", f"charged {charge}, the formula gives {min(price, most)}", **where)


def _check_billing(receipt: Message, report: Report, where: Where) -> None:
    status, charge = receipt.numbers["status"], receipt.numbers["charge"]
    tokens = receipt.numbers["promptTokens"] + receipt.numbers["completionTokens"]
    if status not in STATUSES:
        report.add("AUD-048", f"status {status} is no receipt status", **where)
    elif status == FAILED and (charge or tokens):
        report.add("AUD-048", f"a failed request bills {tokens} tokens, {charge} in all", **where)
    elif charge and not receipt.numbers["completionTokens"]:
        report.add("AUD-048", f"{charge} charged without one delivered token", **where)
