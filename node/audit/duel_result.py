"""One duel of a finished audit, for a table and for scripts. Judges nothing."""

from dataclasses import dataclass

from node.audit.court import JUDGES, STATES, VOTES, Court, Duel, Trial
from node.audit.crypto import ZERO20, hexed
from node.audit.errors import CannotAuditError
from node.audit.findings import MAX_FINDINGS_PER_CODE, Finding
from node.audit.verify import Audit


@dataclass(frozen=True, slots=True)
class DuelAudit:
    """A duel, and every finding that is not about another duel alone."""

    audit: Audit
    court: Court
    duel: Duel
    findings: tuple[Finding, ...]

    @property
    def is_clean(self) -> bool:
        """Nothing is wrong, and no finding was left out for their number."""
        is_whole = all(total <= MAX_FINDINGS_PER_CODE for total in self.audit.report.totals.values())
        return is_whole and not self.findings

    def to_json(self) -> dict[str, object]:
        """For machines."""
        duel = self.duel
        return {
            "ok": self.is_clean,
            "duel": hexed(duel.duel_id),
            "state": STATES[duel.state],
            "block": self.audit.pinned.number,
            "dispatcher": hexed(duel.dispatcher),
            "first": hexed(duel.first),
            "second": hexed(duel.second),
            "appellant": hexed(duel.appellant) if duel.appellant != ZERO20 else "",
            "request_id": hexed(duel.request_id),
            "epoch": duel.trial.epoch,
            "attempt": duel.attempt,
            "model": hexed(duel.model),
            "size": duel.size,
            "prize": duel.prize,
            "seed_known": self.is_seed_known,
            "seats": [*seats_of(duel.trial, 0), *(seats_of(duel.retrial, JUDGES) if duel.retrial else [])],
            "paid": {hexed(account): amount for account, amount in duel.paid.items()},
            "slashed": {hexed(account): amount for account, amount in duel.taken.items()},
            "findings": [finding.to_json() for finding in self.findings],
            "notes": self.audit.report.notes,
        }

    @property
    def is_seed_known(self) -> bool:
        """Whether the second executor could be drawn again."""
        seed = self.court.seeds.get((self.duel.dispatcher, self.duel.trial.epoch))
        return seed is not None and bool(seed.seed)


def seats_of(trial: Trial, base: int) -> list[dict[str, object]]:
    """Seat by seat: who sits there, by which place, and what it voted."""
    return [
        {"seat": base + seat, "judge": hexed(judge), "place": place, "vote": _vote(trial, seat)}
        for seat, (judge, place) in enumerate(zip(trial.judges, trial.places, strict=True))
    ]


def _vote(trial: Trial, seat: int) -> str:
    vote = trial.votes.get(seat, 0)
    return VOTES[vote] if vote < len(VOTES) else str(vote)


def duel_of(audit: Audit, duel_id: bytes) -> DuelAudit:
    """Raises CannotAuditError for a set without duels or a duel that was never opened."""
    if audit.court is None:
        raise CannotAuditError("the deployment file names no duels contract: this set has no duels")
    duel = audit.court.duels.get(duel_id)
    if duel is None:
        raise CannotAuditError(f"no duel {hexed(duel_id)} up to block {audit.pinned.number}; try --block latest")
    about = (None, hexed(duel_id))
    found = tuple(finding for finding in audit.report.findings if finding.evidence.get("duel") in about)
    return DuelAudit(audit, audit.court, duel, found)
