"""The receipts tree: append-only, RFC 6962 shape, keccak with one-byte domain tags. Committed whole by every claim.

A later root extends an earlier one, so claims of a lane may be mined in any order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from node.core.hashing import keccak
from node.core.types import ZERO32, Bytes32

LEAF, NODE = b"\x00", b"\x01"
"""Domain tags: without them a node could be passed off as a leaf (second preimage)."""


def leaf_hash(struct_hash: bytes) -> Bytes32:
    """A receipt's leaf from its `hashStruct`."""
    return keccak(LEAF + struct_hash)


def node_hash(left: bytes, right: bytes) -> Bytes32:
    """An inner node."""
    return keccak(NODE + left + right)


@dataclass(frozen=True, slots=True)
class Peaks:
    """The frontier of an append-only tree: roots of its full subtrees, largest first, and how many leaves they hold."""

    count: int = 0
    hashes: tuple[Bytes32, ...] = ()

    def append(self, leaf: Bytes32) -> "Peaks":
        """The tree with one more leaf; O(log n)."""
        hashes, count = list(self.hashes), self.count
        node = leaf
        while count & 1:
            node = node_hash(hashes.pop(), node)
            count >>= 1
        return Peaks(self.count + 1, (*hashes, node))

    def extend(self, leaves: Iterable[Bytes32]) -> "Peaks":
        """The tree with all these leaves appended in order."""
        peaks = self
        for leaf in leaves:
            peaks = peaks.append(leaf)
        return peaks

    @property
    def root(self) -> Bytes32:
        """The RFC 6962 root; 32 zero bytes for the empty tree."""
        if not self.hashes:
            return ZERO32
        node = self.hashes[-1]
        for peak in reversed(self.hashes[:-1]):
            node = node_hash(peak, node)
        return node


def inclusion_proof(leaves: Sequence[Bytes32], index: int) -> tuple[Bytes32, ...]:
    """The audit path of leaf `index` (RFC 6962 section 2.1.1), nearest sibling first. Raises IndexError."""
    if not 0 <= index < len(leaves):
        raise IndexError(index)
    if len(leaves) == 1:
        return ()
    split = _split(len(leaves))
    if index < split:
        return (*inclusion_proof(leaves[:split], index), Peaks().extend(leaves[split:]).root)
    return (*inclusion_proof(leaves[split:], index - split), Peaks().extend(leaves[:split]).root)


def is_included(leaf: Bytes32, index: int, count: int, proof: Sequence[Bytes32], root: Bytes32) -> bool:
    """Whether `leaf` is number `index` of a tree of `count` leaves with that root."""
    if not 0 <= index < count:
        return False
    return _climb(leaf, index, count, tuple(proof)) == root


def _climb(leaf: Bytes32, index: int, count: int, proof: tuple[Bytes32, ...]) -> Bytes32 | None:
    if count == 1:
        return None if proof else leaf
    if not proof:
        return None
    split = _split(count)
    if index < split:
        below = _climb(leaf, index, split, proof[:-1])
        return None if below is None else node_hash(below, proof[-1])
    below = _climb(leaf, index - split, count - split, proof[:-1])
    return None if below is None else node_hash(proof[-1], below)


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1
