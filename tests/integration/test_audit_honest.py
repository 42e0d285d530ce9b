"""Ten thousand honest requests of many lanes, endings and generations: not one finding."""

from tests.frauds.auditing import audit_history, codes_of
from tests.frauds.bulk import honest_market


def test_verify__ten_thousand_honest_requests__finds_nothing() -> None:
    history = honest_market(10_000, 12, seed=7).history()
    audit = audit_history(history, wants_unsettled=True)
    assert codes_of(audit) == []
    assert audit.report.counts.receipts == 10_000
    assert audit.report.counts.duplicated_requests == 0
