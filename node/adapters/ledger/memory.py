"""What a writer remembers between batches. A cache, changed only after a commit: the database is the truth."""

from dataclasses import dataclass, field

from node.adapters.ledger.hot import Row
from node.adapters.ledger.operations import Request
from node.adapters.ledger.working import WorkingSet

UNSIGNED_KEPT = 200_000
"""A signature that never comes must not fill the memory."""


@dataclass(slots=True)
class Memory:
    """Row ids that would otherwise be looked up."""

    open: dict[Request, int] = field(default_factory=dict)
    """Voucher ids of requests this process admitted and has not closed."""
    unsigned: dict[Request, int] = field(default_factory=dict)
    """Voucher ids of closed requests whose signature has not come yet."""
    agreements: dict[Row, int] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    """The last voucher number used under a lease."""

    working: WorkingSet | None = None
    """The last batch's working set; the next batch asks the database whether it still holds."""

    def learn(self, admitted: dict[Request, int], closed: dict[Request, int], agreements: dict[Row, int]) -> None:
        """After a commit: what later batches may count on."""
        self.open.update(admitted)
        for request in closed:
            self.open.pop(request, None)
        self.unsigned.update(closed)
        self.agreements.update(agreements)
        while len(self.unsigned) > UNSIGNED_KEPT:
            del self.unsigned[next(iter(self.unsigned))]
