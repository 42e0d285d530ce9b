"""What the chain says about a draw: stakes at the block it names, every operator key ever. Judges nothing."""

from collections.abc import Sequence

from node.audit.book import Book, Windows
from node.audit.chain import PinnedBlock, fetch_headers, fetch_logs, pin_block
from node.audit.deployment import Deployment
from node.audit.draw import DrawContext
from node.audit.errors import MalformedError
from node.audit.events import Log, decode_event
from node.audit.findings import Report
from node.audit.fold_escrow import fold_escrow
from node.audit.rpc import Rpc
from node.audit.stakes import Stakes, fold_registry
from node.audit.structs import domain_separator

KEY_EVENTS = frozenset({"OperatorSet", "GenerationBumped"})
"""All of the escrow that a draw depends on: who may sign for whom."""


class DrawChain:
    """The events up to one finalised block, read once; a context for each block asked for."""

    def __init__(self, rpc: Rpc, deployment: Deployment, block: str = "finalized") -> None:
        """Raises CannotAuditError."""
        self._rpc = rpc
        self._deployment = deployment
        self.pinned: PinnedBlock = pin_block(rpc, deployment, block)
        self._logs: Sequence[Log] = fetch_logs(rpc, deployment, self.pinned, lambda *_: None)
        self._separator = domain_separator(deployment.chain_id, deployment.escrow)

    def endpoint_of(self, provider: bytes) -> str:
        """As registered now; "" for none."""
        found = self._folded(self.pinned.number)[1].providers.get(provider)
        return found.endpoint if found is not None else ""

    def context(self, number: int) -> DrawContext:
        """What stood at that block; operators are those of any time."""
        headers = fetch_headers(self._rpc, [number], lambda *_: None)
        header = headers[number]
        _, stakes = self._folded(number)
        book, _ = self._folded(self.pinned.number)
        return DrawContext(
            separator=self._separator,
            block_hash=header.block_hash,
            block_at=header.at,
            is_final=number <= self.pinned.number,
            stakes={address: one.stake for address, one in stakes.providers.items() if one.is_listed},
            operators={payee: frozenset(one.operators.values()) for payee, one in book.payees.items()},
        )

    def _folded(self, number: int) -> tuple[Book, Stakes]:
        """The reports of these folds are thrown away: `audit.py verify` is for them."""
        report = Report()
        book, stakes = Book(Windows(1, 1), report), Stakes(report)
        for log in self._logs:
            if log.block_number > number:
                break
            contract = self._deployment.contracts[log.address]
            try:
                event = decode_event(contract, log, 0)
            except MalformedError:
                continue
            if event is None:
                continue
            if contract == "registry":
                fold_registry(stakes, event)
            elif contract == "escrow" and event.name in KEY_EVENTS:
                fold_escrow(book, event)
        return book, stakes
