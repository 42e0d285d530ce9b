// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {Opening, State, Vote} from "../src/interfaces/IDuels.sol";
import {StakeTree} from "../src/libraries/StakeTree.sol";
import {DuelsFixture} from "./base/DuelsFixture.sol";

/// @notice The sum tree against an array that is walked.
contract StakeTreeTest is Test {
    using StakeTree for StakeTree.Tree;

    uint256 private constant WRITES = 24;
    uint16[6] private places = [uint16(0), 1, 3, 4, 255, 65_535];
    StakeTree.Tree private tree;
    mapping(uint32 epoch => uint64[6]) private ends;

    /// @dev Any writes in any epochs: the present and the two ends before it are what the array says (D2, D7).
    function testFuzz_stakeTree__anyWrites__remembersThreeEpochs(uint256 seed, uint256 point) public {
        uint32 epoch = 10;
        uint64[6] memory weights;
        for (uint256 i = 0; i < WRITES; ++i) {
            uint256 dice = uint256(keccak256(abi.encode(seed, i)));
            for (uint256 steps = dice % 4 == 0 ? dice / 4 % 4 : 0; steps > 0; --steps) {
                ends[epoch++] = weights;
            }
            uint256 which = dice / 16 % 6;
            uint64 weight = dice / 128 % 3 == 0 ? 0 : uint64(dice / 512) % (StakeTree.MAX_WEIGHT + 1);
            assertEq(tree.set(places[which], weight, epoch), weights[which]);
            weights[which] = weight;
        }
        ends[epoch] = weights;
        for (uint32 back = 0; back < 3; ++back) {
            _check(ends[epoch - back], epoch - back, point);
        }
    }

    function testFuzz_stakeTree__heaviestWeights__neverOverflow(uint8 many) public {
        for (uint256 i = 0; i < many; ++i) {
            tree.set(i, StakeTree.MAX_WEIGHT, 1);
        }
        assertEq(tree.total(1), uint256(many) * StakeTree.MAX_WEIGHT);
        assertLt(StakeTree.PLACES * StakeTree.MAX_WEIGHT, 1 << 56);
    }

    function _check(uint64[6] memory weights, uint32 epoch, uint256 point) private view {
        uint256 sum = 0;
        for (uint256 i = 0; i < 6; ++i) {
            if (weights[i] != 0) {
                assertEq(tree.find(epoch, sum), places[i], "first point");
                assertEq(tree.find(epoch, sum + weights[i] - 1), places[i], "last point");
            }
            sum += weights[i];
        }
        assertEq(tree.total(epoch), sum);
        if (sum == 0) return;
        point %= sum;
        uint256 which = 0;
        for (uint256 left = point; left >= weights[which]; ++which) {
            left -= weights[which];
        }
        assertEq(tree.find(epoch, point), places[which]);
    }
}

/// @notice Whole duels with any votes and any stake left: nothing is made of nothing, and nobody gains by losing.
contract DuelsFuzzTest is DuelsFixture {
    function testFuzz_duel__anyVotes__conservesAndBurns(uint256 dice, uint128 left, uint128 fee) public {
        left = uint128(bound(left, 0, MIN_STAKE));
        vm.prank(address(escrow));
        registry.slash(second, 0, MIN_STAKE - left);
        uint256 burntBefore = registry.burnt();
        Opening memory o = _opening("r");
        o.fee = fee;
        bytes32 duelId = _open(o);
        _draw(duelId);
        Vote[] memory votes = new Vote[](5);
        for (uint256 i = 0; i < 5; ++i) {
            votes[i] = Vote(dice % 7 < 2 ? 1 : (dice >> (8 * i)) % 5);
        }
        _trial(duelId, 0, votes);
        vm.warp(block.timestamp + APPEALING);
        court.finalize(duelId);
        _checkSplit(duelId, left, fee, registry.burnt() - burntBefore);
        _checkConserved();
    }

    /// @dev At least 30 % of what the loser lost is burnt, and the winner gets at most the fee.
    function _checkSplit(bytes32 duelId, uint128 left, uint128 fee, uint256 burnt) private view {
        State state = _stateOf(duelId);
        uint256 lost = left - registry.slashable(second);
        if (state != State.FirstWon) {
            assertEq(lost, 0);
            return;
        }
        assertEq(lost, left < LOSER ? left : LOSER);
        assertGe(burnt * 10, lost * 3);
        assertLe(court.balances(first), fee);
        assertLe(court.balances(first) * 10, lost * 4);
    }

    function _checkConserved() private view {
        uint256 owed = court.burnt() + court.balances(dispatcher) + court.balances(first) + court.balances(second);
        uint256 staked = registry.burnt() + registry.slashable(dispatcher);
        staked += registry.slashable(first) + registry.slashable(second);
        for (uint256 i = 0; i < bench.length; ++i) {
            owed += court.balances(bench[i]);
            staked += registry.slashable(bench[i]);
        }
        assertEq(currency.balanceOf(address(court)), owed);
        assertEq(currency.balanceOf(address(registry)), staked);
    }
}
