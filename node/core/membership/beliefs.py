"""Hearing: which rumours and bids of a packet become beliefs, which are passed on, which are dropped and counted.

The signature of what changes nothing is not checked: a flood of old news costs a dictionary look-up each.
"""

from node.core.bids import SignedBid
from node.core.membership.news import News
from node.core.membership.probing import Rounds
from node.core.membership.rumours import Notary, Rumour, RumourKind, SignedRumour
from node.core.membership.settings import SwimSettings
from node.core.membership.table import Entry, Table, believe, is_news, note_time
from node.core.membership.tally import Dropped, Event, Tally
from node.core.types import Address

ACCUSATIONS_PER_SECOND = 2.0
ACCUSATION_BURST = 20.0
"""One member may accuse so often: an honest one whose neighbour network burns stays below, a slanderer is cut off."""


class Allowance:
    """A token bucket for each of several callers."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._left: dict[Address, tuple[float, float]] = {}

    def take(self, who: Address, now: float) -> bool:
        """Whether it may, once more."""
        left, since = self._left.get(who, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        self._left[who] = (left - 1.0 if left >= 1.0 else left, now)
        return left >= 1.0

    def forget(self, who: Address) -> None:
        """It is no member any more."""
        self._left.pop(who, None)


class Beliefs:
    """This node's table and what it does with what it hears."""

    def __init__(self, me: Address, settings: SwimSettings, notary: Notary, rounds: Rounds, table: Table) -> None:
        self.me = me
        self.table = table
        self.tally = Tally()
        self.news = News(lambda: settings.copies_of(len(table)))
        self.suspects: set[Address] = set()
        self.incarnation = 0
        self._settings = settings
        self._notary = notary
        self._rounds = rounds
        self._accusations = Allowance(ACCUSATIONS_PER_SECOND, ACCUSATION_BURST)

    def forget(self, payee: Address) -> None:
        """It has left the registry, or has another key."""
        self.news.drop(payee)
        self.suspects.discard(payee)
        self._accusations.forget(payee)

    def speak(self, kind: RumourKind, now: float) -> None:
        """Say something of this node, of the present incarnation."""
        entry = self.table.find(self.me)
        if entry is None:
            return
        signed = self._notary.seal(Rumour(kind, self.me, self.incarnation))
        believe(entry, signed, 0.0)
        self.news.add(signed, now)

    def accuse(self, entry: Entry, now: float) -> None:
        """This node's probe has failed."""
        rumour = Rumour(RumourKind.SUSPECT, entry.registered.payee, entry.incarnation, self.me)
        self.tally.events[Event.SUSPECTED] += 1
        self._take_over(entry, self._notary.seal(rumour), now)

    def hear(self, signed: SignedRumour, now: float) -> None:
        """One rumour of a packet."""
        rumour = signed.rumour
        entry = self.table.find(rumour.subject)
        author = self.table.find(rumour.author)
        if entry is None or author is None:
            self.tally.dropped[Dropped.RUMOUR_UNKNOWN_SUBJECT] += 1
            return
        if rumour.subject == self.me:
            self._hear_of_me(signed, author, now)
            return
        if not is_news(entry, rumour) or not self._is_allowed(signed, author, now):
            return
        self._take_over(entry, signed, now)

    def hear_bid(self, signed: SignedBid, now: float) -> None:
        """A standing bid, of its sender or passed on."""
        entry = self.table.find(signed.bid.payee)
        if entry is None or signed.bid.payee == self.me:
            return
        if entry.bid is not None and signed.bid.number <= entry.bid.bid.number:
            return
        if not self._notary.is_genuine(signed.bid, signed.signature, entry.registered.operator):
            self.tally.dropped[Dropped.BID_FORGED] += 1
            return
        entry.bid, entry.bid_heard_at = signed, now

    def expire(self, now: float) -> None:
        """Suspicions that stood long enough; news that is old."""
        self.news.expire(now)
        for payee in list(self.suspects):
            entry = self.table.find(payee)
            if entry is None or entry.suspicion is None:
                self.suspects.discard(payee)
            elif note_time(entry, now):
                self.suspects.discard(payee)
                self.tally.events[Event.DIED] += 1

    def _is_allowed(self, signed: SignedRumour, author: Entry, now: float) -> bool:
        if not self._notary.is_genuine(signed.rumour, signed.signature, author.registered.operator):
            self.tally.dropped[Dropped.RUMOUR_FORGED] += 1
            return False
        is_accusation = signed.rumour.kind is RumourKind.SUSPECT
        if is_accusation and not self._accusations.take(signed.rumour.author, now):
            self.tally.dropped[Dropped.RUMOUR_FLOODED] += 1
            return False
        return True

    def _take_over(self, entry: Entry, signed: SignedRumour, now: float) -> None:
        was_in_touch = entry.is_in_touch
        believe(entry, signed, now + self._settings.suspicion_of(len(self.table)))
        payee = entry.registered.payee
        if signed.rumour.kind is RumourKind.SUSPECT:
            self.suspects.add(payee)
        else:
            self.suspects.discard(payee)
        if entry.is_in_touch and not was_in_touch:
            self._rounds.enter(payee)
        self.news.add(signed, now)

    def _hear_of_me(self, signed: SignedRumour, author: Entry, now: float) -> None:
        """Refute an accusation; follow another process of this payee (or an earlier life of it) that is ahead."""
        rumour = signed.rumour
        mine = self.table.find(self.me)
        has_left = mine is not None and mine.word is not None and mine.word.rumour.kind is RumourKind.LEFT
        is_old = rumour.incarnation < self.incarnation
        is_echo = rumour.kind is RumourKind.ALIVE and rumour.incarnation == self.incarnation
        if is_old or is_echo or has_left:
            return
        if not self._notary.is_genuine(rumour, signed.signature, author.registered.operator):
            self.tally.dropped[Dropped.RUMOUR_FORGED] += 1
            return
        if rumour.kind is RumourKind.ALIVE:
            self.incarnation = rumour.incarnation
            return
        # A suspicion may name any incarnation, so one step is enough and a made-up number cannot use them up.
        ahead = rumour.incarnation if rumour.kind is RumourKind.LEFT else self.incarnation
        self.incarnation = ahead + 1
        self.tally.events[Event.REFUTED] += 1
        self.speak(RumourKind.ALIVE, now)
