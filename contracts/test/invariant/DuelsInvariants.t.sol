// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {State} from "../../src/interfaces/IDuels.sol";
import {DuelsHandler} from "./DuelsHandler.sol";

/// @notice DINV1 to DINV5 after every move of everybody; at the end of every run a stranger ends all duels.
contract DuelsInvariantsTest is Test {
    DuelsHandler internal handler;

    function setUp() external {
        handler = new DuelsHandler();
        targetContract(address(handler));
        bytes4[] memory excluded = new bytes4[](3);
        (excluded[0], excluded[1]) = (DuelsHandler.check.selector, DuelsHandler.closeAll.selector);
        excluded[2] = DuelsHandler.setUp.selector;
        excludeSelector(FuzzSelector(address(handler), excluded));
    }

    /// forge-config: default.invariant.runs = 16
    /// forge-config: deep.invariant.runs = 1000
    /// forge-config: deep.invariant.depth = 100
    function invariant_duels() external view {
        if (handler.steps() % 4 == 0) handler.check();
    }

    function afterInvariant() external {
        handler.closeAll();
    }

    /// @dev The world is alive: without this, invariants of an idle world would pass.
    function test_duelsWorld__aDayOfDuels__judgesAppealsAndConvicts() external {
        for (uint256 i = 0; i < 6; ++i) {
            handler.openOne(i, i + 1, i + 2, 1e6);
            handler.drawOne(i);
            handler.vote(i, 3 * i + 1, 0);
        }
        for (uint256 i = 0; i < 6; ++i) {
            handler.revealAll(i);
        }
        handler.appealOne(0, 5);
        handler.drawOne(0);
        handler.vote(0, 1, 0);
        handler.revealAll(0);
        handler.contradict(1, 1);
        for (uint256 i = 0; i < 6; ++i) {
            handler.finalizeOne(i, true);
        }
        handler.passTime(1 days, 1);
        handler.passTime(1 days, 1);
        handler.report(3, 2);
        assertEq(handler.calls("opened"), 6);
        assertEq(handler.calls("appealed"), 1);
        assertEq(handler.calls("twoAnswers"), 1);
        assertEq(handler.calls("unrevealed"), 1);
        assertGe(handler.calls(bytes32(uint256(State.FirstWon))), 5);
        handler.closeAll();
    }
}
