"""Receipts by themselves, offline: what their signatures, terms and voucher prove without any chain or node."""

from collections.abc import Sequence

from node.audit.answers import check_answer
from node.audit.crypto import hexed, recover
from node.audit.deployment import Deployment
from node.audit.documents import Entry, where_of
from node.audit.findings import Report
from node.audit.pricing import check_price
from node.audit.structs import digest_of, domain_separator


def check_single(
    entries: Sequence[Entry], deployment: Deployment, operator: bytes
) -> tuple[list[dict[str, object]], bool]:
    """One row a receipt with its findings, and whether there are none. Without `operator` the signer is only shown."""
    separator = domain_separator(deployment.chain_id, deployment.escrow)
    rows = [_check(entry, separator, operator) for entry in entries]
    return rows, not any(row["findings"] for row in rows)


def _check(entry: Entry, separator: bytes, operator: bytes) -> dict[str, object]:
    report, where = Report(), where_of(entry.receipt)
    signer = recover(digest_of(separator, entry.receipt.struct_hash), entry.signature)
    if signer is None or operator not in (b"", signer):
        report.add("AUD-040", f"signed by {hexed(signer) if signer else 'nobody'}", **where)
    check_answer(entry, (separator, operator), report, where)
    check_price(entry, report, where)
    if entry.voucher is not None:
        payer = recover(digest_of(separator, entry.voucher.struct_hash), entry.voucher_signature)
        if payer != entry.receipt.octets["lane"]:
            report.add("AUD-041", f"signed by {hexed(payer) if payer else 'nobody'}", **where)
    numbers = entry.receipt.numbers
    return {
        **where,
        "signed_by": hexed(signer) if signer else "",
        "status": numbers["status"],
        "prompt_tokens": numbers["promptTokens"],
        "completion_tokens": numbers["completionTokens"],
        "charge": numbers["charge"],
        "cumulative": numbers["cumulative"],
        "findings": [finding.to_json() for finding in report.findings],
    }
