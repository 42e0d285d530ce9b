"""A simulated network that runs node/core/membership: event queue, latency, loss, silence. No sockets, no keys."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from node.core.membership.members import Registered
from node.core.membership.packets import Draft, Kind
from node.core.membership.rumours import Rumour, SignedRumour
from node.core.membership.settings import SwimSettings
from node.core.membership.swim import Relay, Send, Swim
from node.core.types import Address, Signature

HTTP_BYTES = 330
"""Head of a POST and of its answer as node/adapters/peers and uvicorn write them (a live exchange, counted)."""
NO_SIGNATURE = Signature(b"\x00" * 65)


class NoNotary:
    """Signs and believes everything: the simulator's liars, if any, are honest about who they are."""

    def seal(self, rumour: Rumour) -> SignedRumour:
        return SignedRumour(rumour, NO_SIGNATURE)

    def is_genuine(self, message: object, signature: Signature, operator: Address) -> bool:
        return True


@dataclass(frozen=True)
class WorldSettings:
    size: int
    loss: float = 0.0
    """Share of requests lost, and of answers lost."""
    latency: tuple[float, float] = (0.01, 0.08)
    """One way, seconds: a WAN."""
    handshakes: int = 2
    """Round trips before a request can leave (TCP and TLS of a new connection)."""
    seed: int = 1
    swim: SwimSettings = field(default_factory=SwimSettings)


@dataclass
class SimNode:
    payee: Address
    swim: Swim
    is_up: bool = True
    bytes_sent: int = 0
    timer: int = 0


class World:
    """Time, and who hears whom."""

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        self.now = 0.0
        self.cut: Callable[[Address, Address], bool] = lambda _sender, _receiver: False
        self.dice = random.Random(settings.seed)
        self.registry = [Registered(address_of(index), address_of(index), "sim") for index in range(settings.size)]
        self.nodes: dict[Address, SimNode] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def start(self, payee: Address) -> None:
        """A fresh process: it knows the registry and nothing else."""
        swim = Swim(payee, self.settings.swim, random.Random(self.dice.random()), NoNotary(), int(self.now * 1e3) + 1)
        swim.update_registry(self.registry, self.now)
        self.nodes[payee] = SimNode(payee, swim)
        self._at(self.now + self.dice.random() * 0.01, lambda: self._tick(payee, 0))

    def start_all(self) -> None:
        for one in self.registry:
            self.start(one.payee)

    def kill(self, payee: Address) -> None:
        """Silence: the host is gone, nobody refuses a connection."""
        self.nodes[payee].is_up = False

    def run(self, seconds: float, stop: Callable[[], bool] = lambda: False, check_every: float = 0.05) -> float:
        """Until `stop` or the time is over; the time passed."""
        begin, check = self.now, self.now
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, action = heapq.heappop(self._queue)
            action()
            if self.now >= check:
                check = self.now + check_every
                if stop():
                    return self.now - begin
        self.now = end
        return seconds

    def believers(self, payee: Address) -> int:
        """How many of the other running nodes have it in their candidate sets."""
        return sum(node.swim.is_alive(payee) for other, node in self.nodes.items() if node.is_up and other != payee)

    @property
    def running(self) -> int:
        return sum(node.is_up for node in self.nodes.values())

    def _at(self, when: float, action: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, action))

    def _tick(self, payee: Address, timer: int) -> None:
        node = self.nodes[payee]
        if not node.is_up or timer != node.timer:
            return
        self._dispatch(payee, node, node.swim.tick(self.now))

    def _dispatch(self, payee: Address, node: SimNode, sends: list[Send]) -> None:
        for send in sends:
            self._post(payee, node, send, lambda answer, s=send: self._settle(payee, node, s, answer))
        node.timer += 1
        timer = node.timer
        self._at(max(node.swim.due_at(), self.now + 0.001), lambda: self._tick(payee, timer))

    def _settle(self, payee: Address, node: SimNode, send: Send, answer: Draft | None) -> None:
        if not node.is_up or self.nodes[payee] is not node:
            return
        more = node.swim.on_failure(send, self.now) if answer is None else node.swim.on_reply(send, answer, self.now)
        self._dispatch(payee, node, more)

    def _post(self, sender: Address, node: SimNode, send: Send, then: Callable[[Draft | None], None]) -> None:
        """One HTTP exchange: `then` gets the answer, or None when the time is over."""
        one_way = self.dice.uniform(*self.settings.latency)
        node.bytes_sent += send.draft.size() + HTTP_BYTES
        done: list[bool] = []

        def answered(answer: Draft) -> None:
            if not done:
                done.append(True)
                then(answer)

        def failed() -> None:
            if not done:
                done.append(True)
                then(None)

        self._at(self.now + send.seconds, failed)
        if self.dice.random() >= self.settings.loss and not self.cut(sender, send.to):
            arrives = self.now + one_way * (1 + 2 * self.settings.handshakes)
            self._at(arrives, lambda: self._arrive(sender, send, one_way, answered))

    def _arrive(self, sender: Address, send: Send, one_way: float, answered: Callable[[Draft], None]) -> None:
        node = self.nodes.get(send.to)
        if node is None or not node.is_up:
            return
        answer = node.swim.on_request(sender, send.draft, self.now)
        if isinstance(answer, Relay):
            subject = answer.send.to

            def then(found: Draft | None) -> None:
                is_ack = found is not None and found.kind is Kind.ACK
                told = node.swim.relayed(sender, subject, found if is_ack else None, self.now)
                self._return(node, told, one_way, answered)

            self._post(send.to, node, answer.send, then)
            return
        self._return(node, answer, one_way, answered)

    def _return(self, node: SimNode, answer: Draft, one_way: float, answered: Callable[[Draft], None]) -> None:
        node.bytes_sent += answer.size() + HTTP_BYTES
        node.timer += 1
        timer = node.timer
        self._at(max(node.swim.due_at(), self.now), lambda: self._tick(node.payee, timer))
        if self.dice.random() >= self.settings.loss:
            self._at(self.now + one_way, lambda: answered(answer))


def address_of(index: int) -> Address:
    """Distinct, not zero, in order."""
    return Address((index + 1).to_bytes(20, "big"))
