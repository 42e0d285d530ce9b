"""What this node believes of every registered provider, and how a rumour or own evidence changes it. No timers here.

Own evidence counts at once; another's word only after it has stood unrefuted for the suspicion time. A member's own
word with a higher incarnation clears everything. Nothing is believed of anybody who is not registered.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from node.core.bids import SignedBid
from node.core.membership.members import Liveness, Member, Registered
from node.core.membership.rumours import Rumour, RumourKind, SignedRumour
from node.core.types import Address

_IN_TOUCH = frozenset({Liveness.ALIVE, Liveness.SUSPECTED})
_GONE = frozenset({Liveness.DEAD, Liveness.LEFT})


@dataclass(slots=True)
class Entry:
    """One provider. `word` is its own last statement; `suspicion` the accusation that stands or led to its death."""

    registered: Registered
    state: Liveness = Liveness.UNKNOWN
    incarnation: int = 0
    is_doubted: bool = False
    """Our own probe, or a request of ours, failed."""
    word: SignedRumour | None = None
    suspicion: SignedRumour | None = None
    suspicion_ends: float = 0.0
    bid: SignedBid | None = None
    bid_heard_at: float = 0.0

    @property
    def is_in_touch(self) -> bool:
        """Worth probing and telling news."""
        return self.state in _IN_TOUCH

    @property
    def is_alive(self) -> bool:
        """Whether it belongs into candidate sets."""
        return self.state in _IN_TOUCH and not self.is_doubted

    def seen(self, now: float) -> Member:
        """The entry as others see it."""
        age = None if self.bid is None else now - self.bid_heard_at
        return Member(self.registered, self.state, self.is_alive, self.incarnation, self.bid, age)


class Table:
    """The registry's providers by payee."""

    def __init__(self) -> None:
        self._entries: dict[Address, Entry] = {}
        self._sorted: list[Address] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def find(self, payee: Address) -> Entry | None:
        """None for one that is not registered."""
        return self._entries.get(payee)

    def behind(self, cursor: Address, count: int) -> list[Entry]:
        """The next `count` providers by address."""
        start = bisect_right(self._sorted, cursor)
        return [self._entries[payee] for payee in self._sorted[start : start + count]]

    def replace(self, registered: Iterable[Registered]) -> tuple[list[Address], list[Address]]:
        """The registry as it is now; who came and who went. A new operator key starts a life of its own."""
        entries: dict[Address, Entry] = {}
        for one in registered:
            known = self._entries.get(one.payee)
            if known is None or known.registered.operator != one.operator:
                known = Entry(one)
            known.registered = one
            entries[one.payee] = known
        came = [payee for payee, entry in entries.items() if self._entries.get(payee) is not entry]
        went = [payee for payee in self._entries if payee not in entries]
        self._entries, self._sorted = entries, sorted(entries)
        return came, went


def is_news(entry: Entry, rumour: Rumour) -> bool:
    """Whether it would change what we believe (only then its signature is worth checking)."""
    match rumour.kind:
        case RumourKind.ALIVE:
            # Equal and not gone: we met it before its own word reached us; now we can pass that on.
            is_missing = entry.word is None and entry.state not in _GONE
            return rumour.incarnation > entry.incarnation or (is_missing and rumour.incarnation == entry.incarnation)
        case RumourKind.LEFT:
            return rumour.incarnation >= entry.incarnation and entry.state is not Liveness.LEFT
        case RumourKind.SUSPECT:
            # An accuser may have met a later life than we have; it can only speak against the one we know.
            return rumour.incarnation >= entry.incarnation and entry.state is Liveness.ALIVE


def believe(entry: Entry, signed: SignedRumour, ends: float) -> None:
    """Take news over. `ends`: when a suspicion, if it is one, will have stood long enough."""
    rumour = signed.rumour
    if rumour.kind is RumourKind.SUSPECT:
        entry.state, entry.suspicion, entry.suspicion_ends = Liveness.SUSPECTED, signed, ends
        return
    entry.incarnation, entry.word, entry.suspicion = rumour.incarnation, signed, None
    entry.state = Liveness.ALIVE if rumour.kind is RumourKind.ALIVE else Liveness.LEFT
    entry.is_doubted = False


def note_answer(entry: Entry) -> None:
    """It answered our own probe: that beats any rumour but its own word that it leaves."""
    entry.is_doubted = False
    if entry.state is not Liveness.LEFT:
        entry.state, entry.suspicion = Liveness.ALIVE, None


def note_time(entry: Entry, now: float) -> bool:
    """Whether a suspicion has just stood long enough."""
    if entry.state is not Liveness.SUSPECTED or now < entry.suspicion_ends:
        return False
    entry.state = Liveness.DEAD
    return True
