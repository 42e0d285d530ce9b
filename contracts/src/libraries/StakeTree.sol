// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice Three versions of one node: as written last, and as it was before the two writes of earlier epochs.
struct Node {
    uint256 current;
    uint256 previous;
    uint256 older;
}

/// @title StakeTree
/// @notice Weights of 65,536 places with their sums, as they are now and as they were at the end of the two epochs before.
/// @dev A tree of fan-out 4. A node is one word: the epoch it was written in (32 bits) and the weights of its four children
/// (56 bits each), so a draw reads one word a level. Weights stay below 2^40, so no sum of 2^16 of them can overflow.
library StakeTree {
    struct Tree {
        mapping(uint256 key => Node) nodes;
    }

    uint256 internal constant PLACES = 1 << 16;
    uint64 internal constant MAX_WEIGHT = (1 << 40) - 1;
    uint256 private constant TOP = 7;
    uint256 private constant CHILD_BITS = 56;
    uint256 private constant CHILD_MASK = (1 << CHILD_BITS) - 1;
    uint256 private constant EPOCH_SHIFT = 224;

    /// @notice Sets the weight of `place`; returns the one it had.
    function set(Tree storage self, uint256 place, uint64 weight, uint32 epoch) internal returns (uint64 old) {
        old = weightOf(self, place);
        for (uint256 level = 0; level <= TOP; ++level) {
            uint256 shift = (place & 3) * CHILD_BITS;
            place >>= 2;
            Node storage node = self.nodes[_key(level, place)];
            uint256 word = _open(node, epoch);
            uint256 child = ((word >> shift) & CHILD_MASK) + weight - old;
            node.current = (word & ~(CHILD_MASK << shift)) | (child << shift);
        }
    }

    function weightOf(Tree storage self, uint256 place) internal view returns (uint64) {
        return uint64((self.nodes[_key(0, place >> 2)].current >> ((place & 3) * CHILD_BITS)) & CHILD_MASK);
    }

    /// @notice Sum of all weights at the end of `epoch`.
    function total(Tree storage self, uint32 epoch) internal view returns (uint256 sum) {
        uint256 word = _read(self, TOP, 0, epoch);
        for (uint256 child = 0; child < 4; ++child) {
            sum += (word >> (child * CHILD_BITS)) & CHILD_MASK;
        }
    }

    /// @notice The place whose weight covers `point`, which must be below the total.
    function find(Tree storage self, uint32 epoch, uint256 point) internal view returns (uint256 place) {
        for (uint256 level = TOP + 1; level > 0; --level) {
            uint256 word = _read(self, level - 1, place, epoch);
            uint256 weight = word & CHILD_MASK;
            place <<= 2;
            while (point >= weight) {
                point -= weight;
                ++place;
                word >>= CHILD_BITS;
                weight = word & CHILD_MASK;
            }
        }
    }

    /// @dev The first write of an epoch keeps what was before it; the returned word carries the new epoch.
    function _open(Node storage node, uint32 epoch) private returns (uint256 word) {
        word = node.current;
        if (word >> EPOCH_SHIFT == epoch) return word;
        if (word != 0) (node.older, node.previous) = (node.previous, word);
        return (uint256(epoch) << EPOCH_SHIFT) | ((word << 32) >> 32);
    }

    /// @dev Of three versions written in different epochs, the third is older than any two epochs before this one.
    function _read(Tree storage self, uint256 level, uint256 index, uint32 epoch) private view returns (uint256 word) {
        Node storage node = self.nodes[_key(level, index)];
        word = node.current;
        if (word >> EPOCH_SHIFT <= epoch) return word;
        word = node.previous;
        if (word >> EPOCH_SHIFT <= epoch) return word;
        return node.older;
    }

    function _key(uint256 level, uint256 index) private pure returns (uint256) {
        return (level << 16) | index;
    }
}
