"""The receipts tree, from RFC 6962 section 2.1 with keccak-256 and the tags 0x00 (leaf) and 0x01 (inner node).

Streaming: memory is one hash per level, whatever the number of receipts.
"""

from collections.abc import Sequence

from node.audit.crypto import ZERO32, keccak


def leaf_of(struct_hash: bytes) -> bytes:
    """A receipt's leaf from its struct hash."""
    return keccak(b"\x00" + struct_hash)


def _join(left: bytes, right: bytes) -> bytes:
    return keccak(b"\x01" + left + right)


class Tree:
    """A growing tree. `peaks` are the complete subtrees, largest first; their sizes are the bits of `count`."""

    def __init__(self, count: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.count = count
        self.peaks = list(peaks)

    def add(self, leaf: bytes) -> None:
        """Append one leaf: join equal-sized complete subtrees from the right."""
        self.peaks.append(leaf)
        self.count += 1
        complete = self.count
        while complete % 2 == 0:
            right = self.peaks.pop()
            self.peaks.append(_join(self.peaks.pop(), right))
            complete //= 2

    def root(self) -> bytes:
        """The tree's hash now; 32 zero bytes while it is empty."""
        if not self.peaks:
            return ZERO32
        top = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            top = _join(peak, top)
        return top


def is_frontier(count: int, peaks: Sequence[bytes]) -> bool:
    """Whether `peaks` has one hash for each complete subtree of a tree of `count` leaves."""
    return len(peaks) == count.bit_count()
