"""Synthetic probes: questions of the operator's own, bought from peers like any offload, so that duels need no client.

Whether one is duelled is decided by the committed seed, as for every request; no executor can tell it from one.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from node.core.errors import WwwserveError
from node.core.membership.members import Member
from node.core.routing.types import RouteRequest
from node.core.types import Address, Amount, Bytes32
from node.core.wire import hex_of
from node.ports.network import Membership
from node.ports.routing import PeerMarket, PeerSellers, Purchase
from node.services.judging import CHAT

log = logging.getLogger(__name__)
START_SECONDS, IDLE_SECONDS = 60.0, 30.0


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked and what it may cost: prices in base units a million LLM tokens."""

    model: str
    model_id: Bytes32
    questions: Sequence[str]
    tokens: int
    price_prompt: Amount
    price_completion: Amount
    most: Amount
    count: Callable[[bytes], int]
    """The prompt's tokens of a body, as this node bills them: peers are asked by that number."""


@dataclass(frozen=True, slots=True)
class Probes:
    """See module."""

    me: Address
    probe: Probe
    market: PeerMarket
    sellers: PeerSellers
    membership: Membership
    dice: Callable[[int], bytes]

    async def run(self) -> None:
        """Ask one peer that offers the model one question. Silence is that peer's affair; what was paid is booked."""
        peers = [
            one
            for one in self.membership.members().values()
            if one.is_alive and one.payee != self.me and self._offers(one)
        ]
        if not peers:
            return
        member = peers[self._pick(len(peers))]
        purchase = self._purchase(member)
        try:
            async with self.sellers.asked(purchase, self.probe.model_id) as sells:
                if sells:
                    await self._buy(purchase)
        except WwwserveError as exc:
            log.info("a probe of %s came to nothing: %s", member.payee.hex(), exc.message)

    async def _buy(self, purchase: Purchase) -> None:
        exchange = self.market.open(purchase)
        try:
            await exchange.start()
            while await exchange.read():
                pass
        finally:
            exchange.cancel()

    def _offers(self, member: Member) -> bool:
        return member.bid is not None and member.bid.bid.row_of(self.probe.model_id) is not None

    def _pick(self, count: int) -> int:
        return int.from_bytes(self.dice(8), "big") % count

    def _purchase(self, member: Member) -> Purchase:
        """As an offload of a stranger's request looks: streamed, one hop, an id and an origin that nobody knows."""
        question = self.probe.questions[self._pick(len(self.probe.questions))]
        fields = {
            "model": self.probe.model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": self.probe.tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
            "wwwserve": {"path": [hex_of(self.me)]},
        }
        body = orjson.dumps(fields)
        tokens = self.probe.count(body), self.probe.tokens
        return Purchase(
            member=member,
            path=CHAT,
            body=body,
            origin=Bytes32(self.dice(32)),
            hops=1,
            flags=0,
            price_prompt=self.probe.price_prompt,
            price_completion=self.probe.price_completion,
            most=self.probe.most,
            start_seconds=START_SECONDS,
            idle_seconds=IDLE_SECONDS,
            asked=RouteRequest(Bytes32(self.dice(32)), (self.probe.model,), *tokens),
        )
