"""One node's part in the protocol, sans I/O: `tick` says what to send, answers and failures come back in.

Drives probing, helping, gossip and the repairing sync. Knows no clock (`now` is any monotonic time in seconds), no
socket and no key; the live service and the simulator of 1,000 nodes run exactly this.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from node.core.bids import SignedBid
from node.core.membership.beliefs import Allowance, Beliefs
from node.core.membership.members import Liveness, Member, Registered
from node.core.membership.packets import HEAD_BYTES, MAX_RUMOURS, RUMOUR_BYTES, Draft, Kind, bid_size
from node.core.membership.probing import Probe, Rounds
from node.core.membership.rumours import Notary, RumourKind, SignedRumour
from node.core.membership.settings import SwimSettings
from node.core.membership.table import Entry, Table, note_answer
from node.core.membership.tally import Event, Tally
from node.core.routing.types import Dice
from node.core.types import ZERO_ADDRESS, Address

FAR = float("inf")
MOST_AWARE = 8
RELAYS_PER_SECOND = 5.0
"""Probes one member may have us make for it: helping must not become a weapon."""


@dataclass(frozen=True, slots=True)
class Send:
    """POST this draft to that member; `seconds`: when to give up. `probe`: what it is a part of."""

    to: Address
    draft: Draft
    seconds: float
    probe: Probe | None = None


@dataclass(frozen=True, slots=True)
class Relay:
    """Asked to probe `send.to`: do it, then answer the asker with `Swim.relayed`."""

    send: Send


class Swim:
    """The state machine."""

    def __init__(self, me: Address, settings: SwimSettings, dice: Dice, notary: Notary, incarnation: int) -> None:
        self._me = me
        self._settings = settings
        self._dice = dice
        table = Table()
        self._rounds = Rounds(me, table, dice)
        self._beliefs = Beliefs(me, settings, notary, self._rounds, table)
        self._beliefs.incarnation = incarnation
        self._table = table
        self._probes: list[Probe] = []
        self._bid: SignedBid | None = None
        self._relays = Allowance(RELAYS_PER_SECOND, RELAYS_PER_SECOND)
        self._probe_count = 0
        self._awareness = 0
        self._has_joined = False
        self._cursor = ZERO_ADDRESS
        self._next_probe = self._next_sync = self._next_gossip = 0.0

    @property
    def tally(self) -> Tally:
        """Counts for the metrics page."""
        return self._beliefs.tally

    @property
    def has_joined(self) -> bool:
        """Whether some member has told everything it knows."""
        return self._has_joined

    # What the node asks

    def is_alive(self, payee: Address) -> bool:
        """Whether it belongs into candidate sets."""
        entry = self._table.find(payee)
        return entry is not None and entry.is_alive

    def member(self, payee: Address, now: float) -> Member | None:
        """One provider."""
        entry = self._table.find(payee)
        return None if entry is None else entry.seen(now)

    def members(self, now: float) -> Mapping[Address, Member]:
        """Every registered provider."""
        return {entry.registered.payee: entry.seen(now) for entry in self._table}

    # What the node tells

    def update_registry(self, registered: Iterable[Registered], now: float) -> None:
        """The finalised registry. Members that left it, or changed their key, are forgotten."""
        came, went = self._table.replace(registered)
        for payee in (*came, *went):
            self._beliefs.forget(payee)
        if came or went:
            self._rounds.renew()
        if self._me in came:
            self._beliefs.speak(RumourKind.ALIVE, now)

    def set_bid(self, signed: SignedBid | None) -> None:
        """This node's standing bid from now on."""
        self._bid = signed

    def report_failure(self, payee: Address, now: float) -> None:
        """A request of ours failed there: out of the candidates, and probed at once."""
        entry = self._table.find(payee)
        if entry is None or payee == self._me or entry.is_doubted:
            return
        entry.is_doubted = True
        self._rounds.hurry(payee, now)
        self._next_probe = min(self._next_probe, now)

    def leave(self, now: float) -> list[Send]:
        """Say goodbye to a few, who pass it on."""
        self._beliefs.speak(RumourKind.LEFT, now)
        return self._gossip()

    # Time

    def due_at(self) -> float:
        """When `tick` should run next; it may run earlier."""
        times = [self._next_probe, self._next_sync]
        if self._beliefs.news.has_pushes:
            times.append(self._next_gossip)
        times.extend(min(probe.ask_at, probe.deadline) for probe in self._probes)
        entries = (self._table.find(payee) for payee in self._beliefs.suspects)
        times.extend(entry.suspicion_ends for entry in entries if entry is not None)
        return min(times)

    def tick(self, now: float) -> list[Send]:
        """Everything that is due. Silent while this node is not registered: nobody would listen."""
        self._beliefs.expire(now)
        if self._table.find(self._me) is None:
            self._next_probe = self._next_sync = now + self._settings.join_every
            return []
        sends = self._look_after_probes(now)
        if now >= self._next_probe:
            self._next_probe = now + self._settings.probe_every
            sends += self._start_probe(now)
        if now >= self._next_sync:
            sends += self._start_sync(now)
        if self._beliefs.news.has_pushes and now >= self._next_gossip:
            self._next_gossip = now + self._settings.gossip_every
            sends += self._gossip()
        return sends

    def forgive(self, seconds: float) -> None:
        """This process itself stood still for so long: nobody else is to blame for answers it did not read."""
        self._awareness = min(self._awareness + 1, MOST_AWARE)
        for probe in self._probes:
            probe.ask_at += seconds
            probe.deadline += seconds
        for payee in self._beliefs.suspects:
            entry = self._table.find(payee)
            if entry is not None:
                entry.suspicion_ends += seconds

    # Packets (checked by the gate)

    def on_request(self, sender: Address, draft: Draft, now: float) -> Draft | Relay:
        """The answer, or the probe to make before there is one (then `relayed`)."""
        self._hear(draft, now)
        if draft.kind is Kind.SYNC:
            return self._page_behind(draft.subject)
        if draft.kind is Kind.ASK:
            is_fit = draft.subject not in (self._me, sender) and self._table.find(draft.subject) is not None
            if not is_fit or not self._relays.take(sender, now):
                return self._draft(Kind.NACK, sender, draft.subject)
            return Relay(Send(draft.subject, self._draft(Kind.PING, draft.subject), self._settings.relay_seconds))
        return self._draft(Kind.ACK, sender)

    def relayed(self, asker: Address, subject: Address, answer: Draft | None, now: float) -> Draft:
        """What a helper tells the asker; the subject's answer is also news for this node itself."""
        if answer is None:
            return self._draft(Kind.NACK, asker, subject)
        self._hear(answer, now)
        self._note_answer(subject)
        return self._draft(Kind.ACK, asker, subject)

    def on_reply(self, send: Send, answer: Draft, now: float) -> list[Send]:
        """The answer to one of our packets (the gate has checked who signed it)."""
        self._hear(answer, now)
        if send.draft.kind is Kind.SYNC:
            return self._on_page(send, answer)
        probe = send.probe
        if probe is None:
            return []
        probe.open -= 1
        if send.draft.kind is Kind.ASK:
            probe.heard += 1
        if answer.kind is Kind.ACK:
            self._note_answer(probe.target)
            self._finish(probe, Event.PROBE_ANSWERED)
            return []
        return self._after_failure(probe, now)

    def on_failure(self, send: Send, now: float) -> list[Send]:
        """No usable answer in time."""
        if send.probe is None:
            return []
        send.probe.open -= 1
        return self._after_failure(send.probe, now)

    # Probing

    def _start_probe(self, now: float) -> list[Send]:
        target = self._rounds.next_urgent(now)
        if target is None:
            self._probe_count += 1
            is_turn = self._probe_count % self._settings.lost_every == 0
            target = (self._rounds.next_lost() if is_turn else None) or self._rounds.next_target()
        if target is None:
            return []
        settings = self._settings
        probe = Probe(target, now + settings.direct_seconds, now + settings.probe_seconds)
        self._probes.append(probe)
        return [Send(target, self._draft(Kind.PING, target), settings.probe_seconds, probe)]

    def _look_after_probes(self, now: float) -> list[Send]:
        sends: list[Send] = []
        for probe in list(self._probes):
            if now >= probe.deadline:
                sends += self._fail(probe, now)
            elif now >= probe.ask_at:
                sends += self._ask_helpers(probe, now)
        return sends

    def _ask_helpers(self, probe: Probe, now: float) -> list[Send]:
        probe.ask_at = FAR
        helpers = self._rounds.pick_some(self._settings.helpers, probe.target)
        probe.asked = len(helpers)
        probe.open += len(helpers)
        seconds = max(probe.deadline - now, 0.0)
        return [Send(one, self._draft(Kind.ASK, one, probe.target), seconds, probe) for one in helpers]

    def _after_failure(self, probe: Probe, now: float) -> list[Send]:
        """A part of the probe failed. A refused connection need not wait for the helpers' turn."""
        if probe.is_over:
            return []
        sends = [] if probe.has_asked else self._ask_helpers(probe, now)
        if not probe.open:
            sends += self._fail(probe, now)
        return sends

    def _fail(self, probe: Probe, now: float) -> list[Send]:
        """Nobody has confirmed it. The accused hears of it first-hand, so that its refutation is under way at once."""
        if probe.is_over:
            return []
        self._finish(probe, Event.PROBE_FAILED)
        if probe.asked and not probe.heard:
            self._awareness = min(self._awareness + 2, MOST_AWARE)
        entry = self._table.find(probe.target)
        if entry is None:
            return []
        entry.is_doubted = True
        if entry.state is not Liveness.ALIVE:
            return []
        if self._awareness > self._settings.quiet_above:
            self._rounds.hurry(probe.target, now + self._settings.reprobe_seconds)
            return []
        self._beliefs.accuse(entry, now)
        return [Send(probe.target, self._draft(Kind.NEWS, probe.target), self._settings.probe_seconds)]

    def _finish(self, probe: Probe, event: Event) -> None:
        if probe.is_over:
            return
        probe.is_over = True
        self._probes.remove(probe)
        self.tally.events[event] += 1

    def _note_answer(self, payee: Address) -> None:
        entry = self._table.find(payee)
        if entry is None:
            return
        self._awareness = max(self._awareness - 1, 0)
        was_in_touch = entry.is_in_touch
        note_answer(entry)
        self._beliefs.suspects.discard(payee)
        if entry.is_in_touch and not was_in_touch:
            self._rounds.enter(payee)

    # Gossip

    def _hear(self, draft: Draft, now: float) -> None:
        for signed in draft.rumours:
            self._beliefs.hear(signed, now)
        for bid in draft.bids:
            self._beliefs.hear_bid(bid, now)

    def _gossip(self) -> list[Send]:
        receivers = self._rounds.pick_some(self._settings.fanout)
        rumours = tuple(self._beliefs.news.push(self._room(()), len(receivers)) if receivers else ())
        draft = Draft(Kind.NEWS, rumours=rumours)
        return [Send(one, draft, self._settings.probe_seconds) for one in receivers]

    def _draft(self, kind: Kind, receiver: Address, subject: Address = ZERO_ADDRESS) -> Draft:
        """What is said of the receiver first, so that it can refute; then own bid, news, others' bids."""
        entry = self._table.find(receiver)
        first = () if entry is None or entry.suspicion is None else (entry.suspicion,)
        own = () if self._bid is None else (self._bid,)
        rumours = (*first, *self._beliefs.news.carry(max(self._room(own) - len(first), 0)))
        left = self._settings.max_packet_bytes - Draft(kind, subject, rumours, own).size()
        return Draft(kind, subject, rumours, own + self._bids_of_others(left, receiver))

    def _room(self, bids: tuple[SignedBid, ...]) -> int:
        """How many rumours fit a packet with these bids."""
        left = self._settings.max_packet_bytes - HEAD_BYTES - sum(map(bid_size, bids))
        return max(left // RUMOUR_BYTES, 0)

    def _bids_of_others(self, room: int, receiver: Address) -> tuple[SignedBid, ...]:
        chosen: list[SignedBid] = []
        for _ in range(self._settings.relayed_bids):
            entry = self._table.find(self._rounds.any_one())
            if entry is None or entry.bid is None or not entry.is_alive or entry.registered.payee == receiver:
                continue
            if entry.bid not in chosen and bid_size(entry.bid) <= room:
                room -= bid_size(entry.bid)
                chosen.append(entry.bid)
        return tuple(chosen)

    # Sync

    def _start_sync(self, now: float) -> list[Send]:
        settings = self._settings
        if self._has_joined:
            self._next_sync = now + settings.sync_every
            receivers = self._rounds.pick_some(1)
        else:
            self._next_sync = now + settings.join_every
            found = (self._rounds.pick(lambda _: True) for _ in range(settings.fanout))
            receivers = list(dict.fromkeys(one for one in found if one is not None))
        return [self._sync(one, self._cursor) for one in receivers]

    def _sync(self, receiver: Address, cursor: Address) -> Send:
        return Send(receiver, self._draft(Kind.SYNC, receiver, cursor), self._settings.probe_seconds)

    def _on_page(self, send: Send, answer: Draft) -> list[Send]:
        """Walk on while joining; afterwards each sync repairs the next page."""
        if answer.kind is not Kind.PAGE:
            return []
        is_last = answer.subject <= send.draft.subject
        if self._has_joined:
            self._cursor = ZERO_ADDRESS if is_last else answer.subject
            return []
        if is_last:
            self._has_joined = True
            return []
        return [self._sync(send.to, answer.subject)]

    def _page_behind(self, cursor: Address) -> Draft:
        page = self._table.behind(cursor, self._settings.sync_page)
        rumours = [signed for entry in page for signed in _words_of(entry)]
        is_last = len(page) < self._settings.sync_page
        subject = ZERO_ADDRESS if is_last else page[-1].registered.payee
        return Draft(Kind.PAGE, subject, tuple(rumours[:MAX_RUMOURS]))


def _words_of(entry: Entry) -> tuple[SignedRumour, ...]:
    """What a newcomer must hear of somebody in touch: that it lives, and that it is suspected if it is."""
    if entry.word is None or not entry.is_in_touch:
        return ()
    return (entry.word,) if entry.suspicion is None else (entry.word, entry.suspicion)
