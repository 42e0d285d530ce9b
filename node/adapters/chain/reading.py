"""Blocks and events as several endpoints agree on them; what they disagree on is not returned, so nothing is booked."""

from collections.abc import Mapping, Sequence
from typing import Any

from node.adapters.chain.endpoint import JsonValue, RpcError
from node.adapters.chain.logs import LogReader, block_of, unhex
from node.adapters.chain.pool import Pool, Said
from node.core.errors import ChainUnavailable
from node.core.facts import Block, ChainEvent
from node.core.types import Address, Bytes32

QUORUM = 2
"""Where two endpoints work, two must say the same before money moves on it (threat I3)."""
LAG_BLOCKS, LAG_SECONDS = 5, 60
"""An endpoint behind the best by more than both is syncing or stuck: it is left alone."""
BLOOMS_KEPT = 1024
MALFORMED = (ValueError, KeyError, TypeError, AttributeError)


class Reading:
    """The reading half of the chain adapter."""

    def __init__(self, pool: Pool, logs: LogReader, addresses: Sequence[Address]) -> None:
        self._pool = pool
        self._logs = logs
        self._addresses = ["0x" + address.hex() for address in addresses]
        self._blooms: dict[Bytes32, bytes] = {}

    async def fetch_head(self) -> Block:
        """The newest block that two endpoints (where there are two) have."""
        tips = await self._tips("latest")
        best = max(block.number for _, block in tips), max(block.timestamp for _, block in tips)
        near = list[tuple[Said, Block]]()
        for said, block in tips:
            said.endpoint.health.head = block.number
            if best[0] - block.number > LAG_BLOCKS and best[1] - block.timestamp > LAG_SECONDS:
                self._pool.mark_down(said.endpoint, f"is {best[0] - block.number} blocks behind")
                continue
            near.append((said, block))
        near.sort(key=lambda tip: tip[1].number, reverse=True)
        chosen = near[min(QUORUM, len(near)) - 1]
        await self._check_no_fork(near[0], chosen[1])
        return chosen[1]

    async def _check_no_fork(self, best: tuple[Said, Block], chosen: Block) -> None:
        """The endpoint ahead must have the chosen block too, at its height. Raises ChainUnavailable."""
        said, block = best
        if block.number != chosen.number:
            asked = await self._pool.ask(said.endpoint, "eth_getBlockByNumber", hex(chosen.number), False)
            found = None if asked is None else self._block(asked.result)
            if found is None:
                return
            block = found
        if block.hash != chosen.hash:
            raise ChainUnavailable("the RPC endpoints are on different forks", block=chosen.number)

    async def fetch_finalised(self) -> Block:
        """The lowest of the finalised blocks that working endpoints report."""
        return min((block for _, block in await self._tips("finalized")), key=lambda block: block.number)

    async def _tips(self, tag: str) -> list[tuple[Said, Block]]:
        tips = []
        for said in await self._pool.ask_usable("eth_getBlockByNumber", tag, False):
            block = self._block(said.result) if said.error is None else None
            if block is None:
                self._pool.mark_down(said.endpoint, f"has no {tag} block")
                continue
            tips.append((said, block))
        if not tips:
            raise ChainUnavailable(f"no RPC endpoint has a {tag} block")
        return tips

    async def fetch_block(self, number: int) -> Block:
        """A canonical block by number."""
        try:
            header = await self._pool.call(
                "eth_getBlockByNumber",
                hex(number),
                False,
                is_answer=lambda result: self._block(result) is not None,
            )
        except RpcError as exc:
            raise ChainUnavailable(f"no RPC endpoint gives block {number}: {exc.message}", block=number) from exc
        return block_of(header)

    def _block(self, header: JsonValue) -> Block | None:
        try:
            block = block_of(header)
            self._blooms[block.hash] = unhex(header["logsBloom"])
        except MALFORMED:
            return None
        while len(self._blooms) > BLOOMS_KEPT:
            del self._blooms[next(iter(self._blooms))]
        return block

    async def fetch_events(self, block: Block) -> tuple[ChainEvent, ...]:
        """Our events of exactly this block: asked by hash; two endpoints agree, or logs and receipts of one do."""
        wanted = {"blockHash": "0x" + block.hash.hex(), "address": self._addresses}
        voices, found = await self._agreed_events("eth_getLogs", wanted)
        if any(event.block_hash != block.hash for event in found):
            raise ChainUnavailable("an RPC endpoint returned logs of another block", block=block.number)
        if found and voices >= QUORUM:
            return found
        if not found and self._logs.is_ruled_out(self._blooms.get(block.hash, b"")):
            return found
        by_receipts = await self._events_by_receipts(block)
        if not set(_places(found)) <= set(_places(by_receipts)):
            raise ChainUnavailable("logs and transaction receipts of a block differ", block=block.number)
        return by_receipts

    async def fetch_final_events(self, first: int, last: int) -> tuple[ChainEvent, ...]:
        """Our events of a range below the finalised block; a range too large for an endpoint is halved."""
        await self.fetch_block(last)  # an endpoint that has not seen it would answer [] (threat I2)
        wanted = {"fromBlock": hex(first), "toBlock": hex(last), "address": self._addresses}
        try:
            _, found = await self._agreed_events("eth_getLogs", wanted)
        except ChainUnavailable:
            if first == last:
                raise
            middle = (first + last) // 2
            lower = await self.fetch_final_events(first, middle)
            return lower + await self.fetch_final_events(middle + 1, last)
        if any(not first <= event.block_number <= last for event in found):
            raise ChainUnavailable("an RPC endpoint returned logs of other blocks", first=first, last=last)
        return found

    async def _agreed_events(self, method: str, *params: JsonValue) -> tuple[int, tuple[ChainEvent, ...]]:
        """How many endpoints answered, and what all of them said."""
        answers = await self._pool.ask_usable(method, *params, limit=QUORUM)
        found = [self._decoded(said) for said in answers]
        if any(events != found[0] for events in found):
            names = " and ".join(said.endpoint.name for said in answers)
            raise ChainUnavailable(f"the RPC endpoints {names} disagree about events", call=method)
        return len(found), found[0]

    def _decoded(self, said: Said) -> tuple[ChainEvent, ...]:
        if said.error is not None:  # it may have pruned its history: the others go on without it for a while
            self._pool.mark_down(said.endpoint, said.error.message)
            raise ChainUnavailable(f"{said.endpoint.name} gives no events: {said.error.message}")
        try:
            return self._logs.events(said.result)
        except MALFORMED as exc:
            raise ChainUnavailable(f"{said.endpoint.name} returned malformed logs") from exc

    async def _events_by_receipts(self, block: Block) -> tuple[ChainEvent, ...]:
        """The slow, sure way: every transaction receipt of the block."""
        try:
            receipts = await self._pool.call(
                "eth_getBlockReceipts",
                "0x" + block.hash.hex(),
                is_answer=lambda result: isinstance(result, list),
            )
            raw: list[Mapping[str, Any]] = [log for receipt in receipts for log in receipt["logs"]]
            return self._logs.events(raw)
        except RpcError as exc:
            raise ChainUnavailable(f"the logs of block {block.number} cannot be checked: {exc.message}") from exc
        except MALFORMED as exc:
            raise ChainUnavailable("an RPC endpoint returned malformed receipts", block=block.number) from exc


def _places(events: Sequence[ChainEvent]) -> list[tuple[Bytes32, int]]:
    return [(event.block_hash, event.log_index) for event in events]
