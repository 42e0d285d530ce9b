"""Every coded finding: what it means, how bad it is, whom it hurts. `docs/auditing.md` gives an example of each.

A code is never re-used for another meaning: other people's scripts compare them.
"""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad: `critical` = somebody's money is wrong or unprovable, `warning` = a rule of the protocol is broken."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the catalogue. `hurts` names a role (payer, payee, everyone), `invariant` the rule that is broken."""

    code: str
    title: str
    severity: Severity
    hurts: str
    invariant: str = ""


_C, _W, _I = Severity.CRITICAL, Severity.WARNING, Severity.INFO
_RULES = (
    # what the chain says
    Rule("AUD-001", "two RPC endpoints give different logs", _C, "everyone", "INV11"),
    Rule("AUD-002", "the RPC endpoint hides logs that its own blocks contain", _C, "everyone", "INV11"),
    Rule("AUD-003", "an event does not follow from the events before it", _C, "everyone", "INV2"),
    Rule("AUD-004", "a contract emitted an event this auditor does not know", _W, "everyone"),
    # events against the contracts' own views
    Rule("AUD-010", "free balance differs from the events", _C, "payer", "INV11"),
    Rule("AUD-011", "pair differs from the events", _C, "payer", "INV11"),
    Rule("AUD-012", "lane differs from the events", _C, "payer", "INV11"),
    Rule("AUD-013", "earnings differ from the events", _C, "payee", "INV11"),
    Rule("AUD-014", "stake, endpoint or offer differs from the events", _C, "payee", "INV11"),
    Rule("AUD-015", "operator, generation or payout differs from the events", _C, "payee", "INV11"),
    Rule("AUD-016", "lane signer differs from the events", _C, "payer", "INV11"),
    Rule("AUD-017", "the escrow holds less than it owes", _C, "everyone", "INV1"),
    Rule("AUD-018", "the registry holds less than the stakes", _C, "payee", "INV1"),
    Rule("AUD-019", "a pair's claimed total is not the sum of its lanes, or above its allotment", _C, "payer", "INV2"),
    # rules the contracts must have kept
    Rule("AUD-020", "claimed above the signed ceiling", _C, "payer", "INV3"),
    Rule("AUD-021", "a lane's claimed total or generation went back", _C, "payer", "INV2"),
    Rule("AUD-022", "a settlement paid another amount than it should", _C, "payer", "INV2"),
    Rule("AUD-023", "settled through a signer that was not allowed", _C, "payer", "INV4"),
    Rule("AUD-024", "settled under a generation that is unknown or closed", _C, "payer", "INV4"),
    Rule("AUD-025", "thawing money left before its time", _C, "payee", "INV6"),
    Rule("AUD-026", "earnings or stake left before their time", _C, "payer", "INV7"),
    Rule("AUD-027", "earnings went to another address than the payout in force", _C, "payee"),
    Rule("AUD-028", "the payee was convicted of an overclaim", _W, "payer", "INV9"),
    Rule("AUD-029", "slashed is not burnt + paid + returned", _C, "everyone", "INV10"),
    # evidence for settlements
    Rule("AUD-030", "a settlement is not served", _C, "payer"),
    Rule("AUD-031", "the payee has no usable public endpoint", _W, "payer"),
    Rule("AUD-032", "fewer or more receipts are served than were settled", _C, "payer", "INV13"),
    Rule("AUD-033", "served evidence is malformed", _C, "payer"),
    Rule("AUD-034", "the receipts do not give the settled root", _C, "payer", "INV13"),
    Rule("AUD-035", "a later root does not extend an earlier one", _C, "payer", "INV13"),
    Rule("AUD-036", "the claim is not the settled one, or not signed by the operator", _C, "payer", "INV4"),
    Rule("AUD-037", "settled more or less than the receipts say", _C, "payer", "INV12"),
    Rule("AUD-038", "the served peaks are not those of the receipts before them", _W, "payer", "INV13"),
    # one receipt
    Rule("AUD-040", "receipt not signed by the operator of its generation", _C, "payer"),
    Rule("AUD-041", "voucher not signed by the lane", _C, "payer", "INV4"),
    Rule("AUD-042", "voucher of another payer, payee or generation", _C, "payer", "INV4"),
    Rule("AUD-043", "the voucher or receipt was not made for these terms (context)", _C, "payer", "INV4"),
    Rule("AUD-044", "receipt and terms name different requests", _C, "payer"),
    Rule("AUD-045", "charged more than the price formula", _C, "payer"),
    Rule("AUD-046", "charged less than the price formula", _W, "payee"),
    Rule("AUD-047", "charged above maxPrice", _C, "payer"),
    Rule("AUD-048", "billed against the billing table", _C, "payer"),
    Rule("AUD-049", "the running total is not the last one plus the charge", _C, "payer", "INV12"),
    Rule("AUD-050", "sequence does not rise", _C, "payer", "INV9"),
    Rule("AUD-051", "one request charged twice", _C, "payer"),
    Rule("AUD-052", "a generation starts above what was owed before it", _C, "payer", "INV12"),
    Rule("AUD-053", "receipts above every signed ceiling", _C, "payee", "INV3"),
    Rule("AUD-054", "receipt of another lane", _C, "payer"),
    Rule("AUD-055", "the executor's answer is missing, not its own, or not the receipt's", _W, "payer"),
    # the offer the price came from
    Rule("AUD-060", "the quoted offer never stood in the registry", _W, "payer"),
    Rule("AUD-061", "the quoted offer is not served", _W, "payer"),
    Rule("AUD-062", "the served offer is another one (hash)", _C, "payer"),
    Rule("AUD-063", "the offer is not signed by the payee's operator", _W, "payer"),
    Rule("AUD-064", "price, tokenizer or template differs from the quoted offer", _C, "payer"),
    Rule("AUD-065", "the quoted offer does not sell this model", _W, "payer"),
    Rule("AUD-066", "the quoted offer was not in force", _W, "payer"),
    # what a client holds, and what is not settled yet
    Rule("AUD-070", "a receipt the client holds is missing at the payee", _C, "payer", "INV13"),
    Rule("AUD-071", "the payee signed two receipts that contradict each other", _C, "payer", "INV9"),
    Rule("AUD-072", "an overclaim that can be challenged on chain", _C, "payer", "INV12"),
    Rule("AUD-073", "the node's totals of a lane are not those of its receipts", _C, "payer", "INV12"),
    Rule("AUD-074", "unsettled receipts are not served", _W, "payer"),
    # duels
    Rule("AUD-080", "a step of a duel breaks the court's rules", _C, "everyone"),
    Rule("AUD-081", "the judges are not those that block and stakes draw", _C, "payee", "DINV2"),
    Rule("AUD-082", "a vote does not open its commitment", _C, "payee"),
    Rule("AUD-083", "the verdict is not that of the votes", _C, "payee"),
    Rule("AUD-084", "a duel paid, slashed or burnt another amount than it should", _C, "payee", "DINV1"),
    Rule("AUD-085", "a balance of the court differs from the events", _C, "payee", "DINV4"),
    Rule("AUD-086", "the court holds less than it owes", _C, "everyone", "DINV1"),
    Rule("AUD-087", "a member's weight or state is not what stake and events give", _C, "payee", "DINV2"),
    Rule("AUD-088", "the second executor is not the one drawn, or the request was none to duel", _W, "payee"),
    Rule("AUD-089", "a sampling seed was not revealed in time", _W, "payee"),
    Rule("AUD-090", "a revealed seed is not the committed one", _C, "payee"),
    Rule("AUD-091", "a fault was punished against the rules", _C, "payee", "DINV3"),
    Rule("AUD-092", "an executor signed two answers to one request", _W, "payer"),
)
CATALOGUE: dict[str, Rule] = {rule.code: rule for rule in _RULES}
"""By code. Read-only by convention."""
