"""What an audit says: findings with their evidence, and the counts others build on."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from node.audit.catalogue import CATALOGUE, Severity

MAX_FINDINGS_PER_CODE = 100
"""A broken history gives one finding a receipt; beyond this they are counted, not kept: memory stays bounded."""

Evidence = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, with what anyone needs to see it for themselves."""

    code: str
    message: str
    evidence: Evidence

    def to_json(self) -> dict[str, object]:
        """The stable machine form."""
        rule = CATALOGUE[self.code]
        return {
            "code": self.code,
            "severity": rule.severity.value,
            "title": rule.title,
            "hurts": rule.hurts,
            "invariant": rule.invariant,
            "message": self.message,
            "evidence": dict(self.evidence),
        }


@dataclass(slots=True)
class Counts:
    """How much was looked at."""

    blocks: int = 0
    events: int = 0
    payers: int = 0
    payees: int = 0
    pairs: int = 0
    lanes: int = 0
    settlements: int = 0
    receipts: int = 0
    unsettled_receipts: int = 0
    held_receipts: int = 0
    signatures: int = 0
    offers: int = 0
    balances_compared: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    charged_base_units: int = 0
    settled_base_units: int = 0
    duplicated_requests: int = 0

    def to_json(self) -> dict[str, int]:
        """By name."""
        return {name: int(getattr(self, name)) for name in self.__slots__}


@dataclass(slots=True)
class Traffic:
    """What the receipts of one pair add up to."""

    receipts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    charged: int = 0


@dataclass(slots=True)
class Report:
    """The growing result of one audit. `notes` are no findings: what was not looked at, and why."""

    counts: Counts = field(default_factory=Counts)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    traffic: dict[tuple[bytes, bytes], Traffic] = field(default_factory=dict)

    def add(self, code: str, message: str, **evidence: str | int) -> None:
        """Record one finding of the catalogue."""
        self.totals[code] = self.totals.get(code, 0) + 1
        if self.totals[code] <= MAX_FINDINGS_PER_CODE:
            self.findings.append(Finding(code, message, evidence))

    def book_receipt(self, pair: tuple[bytes, bytes], prompt: int, completion: int, charge: int) -> None:
        """One checked receipt's tokens and charge, into the counts and the pair's traffic."""
        traffic = self.traffic.setdefault(pair, Traffic())
        traffic.receipts += 1
        traffic.prompt_tokens += prompt
        traffic.completion_tokens += completion
        traffic.charged += charge
        self.counts.receipts += 1
        self.counts.prompt_tokens += prompt
        self.counts.completion_tokens += completion
        self.counts.charged_base_units += charge

    @property
    def violations(self) -> int:
        """Findings that break a rule (all but the merely informative), those not kept included."""
        return sum(n for code, n in self.totals.items() if CATALOGUE[code].severity is not Severity.INFO)

    @property
    def is_clean(self) -> bool:
        """No finding at all."""
        return not self.totals

    def to_json(self) -> dict[str, object]:
        """`ok`, findings, counts and notes."""
        return {
            "ok": self.is_clean,
            "findings": [finding.to_json() for finding in self.findings],
            "findings_by_code": dict(sorted(self.totals.items())),
            "counts": self.counts.to_json() | {"violations": self.violations},
            "notes": self.notes,
        }
