// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {PlainToken, ReentrantToken} from "../base/Tokens.sol";
import {Handler} from "./Handler.sol";

/// @notice INV1 to INV10 after every move of everybody. INV5 to INV10 are checked inside the moves that could break them.
abstract contract Invariants is Test {
    Handler internal handler;

    function _start(PlainToken token) internal {
        handler = new Handler(token);
        targetContract(address(handler));
        bytes4[] memory excluded = new bytes4[](2);
        (excluded[0], excluded[1]) = (Handler.check.selector, Handler.setUp.selector);
        excludeSelector(FuzzSelector(address(handler), excluded));
    }

    /// @dev A broken sum stays broken, so every fourth step is enough, and the last.
    function invariant_everything() external {
        if (handler.steps() % 4 == 0) handler.check();
    }

    function afterInvariant() external {
        handler.check();
    }
}

contract PlainInvariantsTest is Invariants {
    function setUp() external {
        _start(new PlainToken());
    }

    /// @dev The world is alive: without this, invariants of an idle world would pass.
    function test_world__aDayOfBusiness__settlesAndConvicts() external {
        handler.stake(1, 0);
        for (uint256 i = 0; i < 9; ++i) {
            handler.deposit(i, 5000e6);
            handler.allot(i, i / 3, 1000e6);
            handler.serve(i, i / 3, 0, 100e6);
            handler.claimAny(i, i / 3, 0, 0);
        }
        handler.overclaim(0, 10e6);
        handler.claimBatch(1);
        handler.accuseHonest(0, 0, 0, 0);
        assertGe(handler.calls("paid"), 9);
        assertEq(handler.calls("convicted"), 1);
        handler.check();
    }
}

/// @notice The same world on a currency that calls back into the escrow from inside its transfers.
contract ReentrantInvariantsTest is Invariants {
    function setUp() external {
        _start(new ReentrantToken());
    }
}
