"""The executor's word on an answer that it gave another node: due for each whole one, named by its receipt, signed.

An answer that is not shown is no finding: it can be made again only where its operator key is.
"""

from node.audit.crypto import hexed, recover
from node.audit.documents import Entry
from node.audit.findings import Report
from node.audit.structs import Message, digest_of

COMPLETE = 1
NOTHING = bytes(32)
Where = dict[str, str | int]


def check_answer(entry: Entry, judge: tuple[bytes, bytes], report: Report, where: Where) -> None:
    """`judge`: the domain separator and the operator of the receipt's generation (empty: not known)."""
    named = entry.receipt.octets["answerHash"]
    if named == NOTHING:
        if _is_due(entry):
            report.add("AUD-055", "a whole answer to another node, and no answer signed", **where)
        return
    if entry.answer is None:
        return
    if entry.answer.struct_hash != named:
        report.add("AUD-055", "another answer is shown than the receipt names", **where)
    for name in _differing(entry.answer, entry):
        report.add("AUD-055", f"answer and receipt differ in {name}", **where)
    separator, operator = judge
    report.counts.signatures += 1
    signer = recover(digest_of(separator, entry.answer.struct_hash), entry.answer_signature)
    if signer is None or operator not in (b"", signer):
        report.add("AUD-055", f"the answer is signed by {hexed(signer) if signer else 'nobody'}", **where)


def _is_due(entry: Entry) -> bool:
    return entry.terms is not None and entry.terms.numbers["hops"] > 0 and entry.receipt.numbers["status"] == COMPLETE


def _differing(answer: Message, entry: Entry) -> list[str]:
    receipt = entry.receipt
    same = ("payer", "lane", "requestId", "requestHash", "responseHash")
    differing = [name for name in same if answer.octets[name] != receipt.octets[name]]
    if answer.octets["executor"] != receipt.octets["payee"]:
        differing.append("executor")
    if answer.numbers["generation"] != receipt.numbers["generation"]:
        differing.append("generation")
    if entry.terms is not None and answer.octets["model"] != entry.terms.octets["model"]:
        differing.append("model")
    return differing
