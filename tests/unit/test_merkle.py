"""core.merkle against the recursive definition of RFC 6962, written again here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.core.hashing import keccak
from node.core.merkle import Peaks, inclusion_proof, is_included, leaf_hash
from node.core.types import ZERO32

LEAVES = [leaf_hash(keccak(b"%d" % number)) for number in range(70)]


def root_by_definition(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return keccak(b"\x01" + root_by_definition(leaves[:split]) + root_by_definition(leaves[split:]))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 13, 64, 70])
def test_root__n_leaves__equals_the_definition(count: int) -> None:
    assert Peaks().extend(LEAVES[:count]).root == root_by_definition(LEAVES[:count])


def test_root__no_leaf__is_zero() -> None:
    assert Peaks().root == ZERO32


@given(st.integers(1, 70), st.data())
def test_proof__any_leaf__verifies_only_in_its_own_place(count: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, count - 1))
    leaves = LEAVES[:count]
    proof = inclusion_proof(leaves, index)
    root = Peaks().extend(leaves).root
    assert is_included(leaves[index], index, count, proof, root)
    other = data.draw(st.integers(0, count - 1).filter(lambda number: number != index)) if count > 1 else 1
    assert not is_included(leaves[index], other, count, proof, root)
    assert not is_included(keccak(b"forged"), index, count, proof, root)


def test_proof__a_node_passed_off_as_a_leaf__is_refused() -> None:
    root = Peaks().extend(LEAVES[:4]).root
    inner = Peaks().extend(LEAVES[:2]).root
    assert not is_included(inner, 0, 4, (Peaks().extend(LEAVES[2:4]).root,), root)


def test_proof__index_outside__raises() -> None:
    with pytest.raises(IndexError):
        inclusion_proof(LEAVES[:3], 3)


def test_proof__wrong_length__is_refused() -> None:
    proof = inclusion_proof(LEAVES[:8], 3)
    root = Peaks().extend(LEAVES[:8]).root
    assert not is_included(LEAVES[3], 3, 8, proof[:-1], root)
    assert not is_included(LEAVES[3], 3, 8, (*proof, ZERO32), root)
