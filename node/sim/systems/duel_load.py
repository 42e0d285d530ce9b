"""The engines' side of duels: second answers and judges' reading, as load on the nodes. Decides no verdict."""

from dataclasses import replace

from node.core.types import Bytes32
from node.sim.workload import stream
from node.sim.world import Request, SimNode, World

ID = Bytes32(b"\x00" * 32)
"""A reading is not routed, so nobody draws with its id."""


class Duels:
    """The work that duels cause: a second answer, and judges who read both. No user waits for any of it."""

    def __init__(self, world: World) -> None:
        assert world.scenario.duels is not None
        self.world, self.load = world, world.scenario.duels
        self.dice = stream(world.seed, "duels")
        self.opened = 0

    def maybe(self, dispatcher: SimNode, first: SimNode, request: Request) -> None:
        """Whether this offload is a duel; if so, a copy to a second executor, drawn by stake."""
        if request.restarts or self.dice.random() >= self.load.share:
            return
        second = self._drawn({dispatcher, first}, 1)
        if second:
            self.opened += 1
            copy = request.copy()
            copy.shadow = lambda: self._judge({dispatcher, first, second[0]}, request)
            second[0].submit(copy)

    def _judge(self, parties: set[SimNode], request: Request) -> None:
        arrival = request.arrival
        for judge in self._drawn(parties, self.load.judges):
            for _order in range(2):
                prompt = arrival.prompt + 2 * arrival.tokens
                reading = Request(request.number, replace(arrival, prompt=prompt, tokens=self.load.verdict_tokens), ID)
                reading.shadow = _ignore
                judge.submit(reading)

    def _drawn(self, without: set[SimNode], count: int) -> list[SimNode]:
        """With replacement, by stake, as the contract draws."""
        left = [node for node in self.world.nodes if node.alive and node not in without]
        return self.dice.choices(left, [node.stake for node in left], k=count) if left else []


def _ignore() -> None:
    """A verdict needs no further work."""
