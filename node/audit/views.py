"""The contracts' own view functions, called at the pinned block by hash: no two answers are of different states."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.audit.abi import AbiValue, call_data, decode_words
from node.audit.chain import PinnedBlock
from node.audit.crypto import hexed, octets_of
from node.audit.deployment import Deployment
from node.audit.errors import CannotAuditError, MalformedError
from node.audit.rpc import BATCH, Call, Rpc, RpcRefusedError


@dataclass(frozen=True, slots=True)
class View:
    """One view call: contract, signature, arguments, and the types of the result. `is_tuple`: a dynamic struct."""

    contract: bytes
    signature: str
    arguments: tuple[int | bytes, ...]
    returns: tuple[str, ...]
    is_tuple: bool = False


@dataclass(slots=True)
class Views:
    """View calls at one block."""

    rpc: Rpc
    pinned: PinnedBlock
    _by_number: list[bool] = field(default_factory=list)

    def call_many(self, views: Sequence[View]) -> list[list[AbiValue]]:
        """Decoded results in order. Raises CannotAuditError."""
        return [
            _decoded(view, answer)
            for start in range(0, len(views), BATCH)
            for view, answer in zip(
                views[start : start + BATCH], self._batch(views[start : start + BATCH]), strict=True
            )
        ]

    def call(self, view: View) -> list[AbiValue]:
        """One call."""
        return self.call_many([view])[0]

    def _batch(self, views: Sequence[View]) -> list[object]:
        try:
            return self.rpc.call_many([self._request(view) for view in views])
        except RpcRefusedError as exc:
            if self._by_number:
                raise CannotAuditError(
                    f"{self.rpc.url} refuses view calls at block {self.pinned.number}: {exc}"
                ) from exc
        # Some endpoints do not know EIP-1898 (a block by its hash): the number names the same finalised block.
        self._by_number.append(True)
        return self._batch(views)

    def _request(self, view: View) -> Call:
        call = {"to": hexed(view.contract), "data": call_data(view.signature, *view.arguments)}
        at: object = {"blockHash": hexed(self.pinned.block_hash), "requireCanonical": True}
        return ("eth_call", [call, hex(self.pinned.number) if self._by_number else at])


def _decoded(view: View, answer: object) -> list[AbiValue]:
    text = answer if isinstance(answer, str) else ""
    try:
        payload = octets_of(text, len(text) // 2 - 1, "result")
        return decode_words(view.returns, payload[32:] if view.is_tuple else payload)
    except MalformedError as exc:
        raise CannotAuditError(f"{view.signature} at {hexed(view.contract)} gave no usable result ({exc})") from exc


def fetch_windows(views: Views, deployment: Deployment) -> tuple[int, int, bytes]:
    """(thaw seconds, hold seconds, domain separator) of the escrow."""
    wanted = (("thawSeconds()", "uint64"), ("holdSeconds()", "uint64"), ("domainSeparator()", "bytes32"))
    answers = views.call_many([View(deployment.escrow, signature, (), (kind,)) for signature, kind in wanted])
    thaw, hold, domain = (answer[0] for answer in answers)
    assert isinstance(thaw, int)
    assert isinstance(hold, int)
    assert isinstance(domain, bytes)
    return thaw, hold, domain
