// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IDuels, Opening, Side, State} from "../../src/interfaces/IDuels.sol";
import {DuelsFixture} from "../base/DuelsFixture.sol";

/// @notice What needs no jury, named as in `trees/`.
contract DuelsFaultsTest is DuelsFixture {
    uint128 private constant BOUNTY = FAULT * 3 / 10;

    // -------------------------------------------------------------------------------------------------- reportUnrevealed
    function test_reportUnrevealed__noneCommitted__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NoSeed.selector, first, 7));
        court.reportUnrevealed(first, 7);
    }

    function test_reportUnrevealed__revealed__reverts() public {
        uint32 epoch = court.currentEpoch();
        vm.warp(_startOf(epoch + 1));
        court.revealSeed(dispatcher, epoch, SEED);
        vm.warp(_startOf(epoch + 3));
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_SeedRevealed.selector, epoch));
        court.reportUnrevealed(dispatcher, epoch);
    }

    function test_reportUnrevealed__revealPossible__reverts() public {
        uint32 epoch = court.currentEpoch();
        uint64 until = uint64(_startOf(epoch + 1)) + EPOCH / 2;
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_RevealNotOver.selector, until));
        court.reportUnrevealed(dispatcher, epoch);
    }

    function test_reportUnrevealed__unrevealed__slashesOnce() public {
        uint32 epoch = court.currentEpoch();
        bytes32 occurrence = keccak256(abi.encode(dispatcher, epoch));
        vm.warp(_startOf(epoch + 1) + EPOCH / 2 + 1);
        vm.expectEmit(address(court));
        emit IDuels.FaultProven(dispatcher, 1, occurrence, FAULT, BOUNTY);
        vm.prank(stranger);
        court.reportUnrevealed(dispatcher, epoch);
        _assertPunished(dispatcher);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_AlreadyProven.selector, occurrence));
        court.reportUnrevealed(dispatcher, epoch);
    }

    /// @dev D5: nothing left to slash is no reason to revert.
    function test_reportUnrevealed__nothingLeft__isStillProven() public {
        vm.prank(address(escrow));
        registry.slash(dispatcher, 0, MIN_STAKE);
        uint32 epoch = court.currentEpoch();
        vm.warp(_startOf(epoch + 2));
        vm.expectEmit(address(court));
        emit IDuels.FaultProven(dispatcher, 1, keccak256(abi.encode(dispatcher, epoch)), 0, 0);
        court.reportUnrevealed(dispatcher, epoch);
    }

    // --------------------------------------------------------------------------------------------------- reportWrongDraw
    function test_reportWrongDraw__unknownDuel__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_WrongState.selector, State.None));
        court.reportWrongDraw("nothing", SEED, 0, 0);
    }

    function test_reportWrongDraw__anotherSeed__reverts() public {
        Opening memory o = _opening("r");
        bytes32 duelId = _open(o);
        vm.expectRevert(IDuels.Duels_WrongSeed.selector);
        court.reportWrongDraw(duelId, "another", o.requestId, o.first.nonceCommit);
    }

    function test_reportWrongDraw__anotherRequest__reverts() public {
        Opening memory o = _opening("r");
        bytes32 duelId = _open(o);
        vm.expectRevert(IDuels.Duels_NoFault.selector);
        court.reportWrongDraw(duelId, SEED, "another", o.first.nonceCommit);
    }

    function test_reportWrongDraw__asDrawn__reverts() public {
        Opening memory o = _drawnOpening(second, true);
        bytes32 duelId = _open(o);
        vm.warp(_startOf(court.currentEpoch() + 2) - 1);
        vm.expectRevert(IDuels.Duels_NoFault.selector);
        court.reportWrongDraw(duelId, SEED, o.requestId, o.first.nonceCommit);
    }

    function test_reportWrongDraw__afterTheNextEpoch__reverts() public {
        Opening memory o = _drawnOpening(second, false);
        bytes32 duelId = _open(o);
        uint32 epoch = court.currentEpoch();
        vm.warp(_startOf(epoch + 2));
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NoSnapshot.selector, epoch - 1));
        court.reportWrongDraw(duelId, SEED, o.requestId, o.first.nonceCommit);
    }

    function test_reportWrongDraw__anotherExecutor__slashesTheDispatcher() public {
        Opening memory o = _drawnOpening(second, false);
        bytes32 duelId = _open(o);
        vm.warp(_startOf(court.currentEpoch() + 2) - 1);
        vm.expectEmit(address(court));
        emit IDuels.FaultProven(dispatcher, 2, duelId, FAULT, BOUNTY);
        vm.prank(stranger);
        court.reportWrongDraw(duelId, SEED, o.requestId, o.first.nonceCommit);
        _assertPunished(dispatcher);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_AlreadyProven.selector, duelId));
        court.reportWrongDraw(duelId, SEED, o.requestId, o.first.nonceCommit);
    }

    /// @dev D6: nobody duels a request that its own seed does not choose.
    function test_reportWrongDraw__requestNotToBeDuelled__slashesTheDispatcher() public {
        bytes32 commitment = _seedHash(first, court.currentEpoch() + 1, SEED);
        vm.prank(first);
        court.commitSeed(first, commitment, 1);
        _fundCourt(first, BOND);
        vm.warp(_startOf(court.currentEpoch() + 1));
        (dispatcher, first, firstKey) = _swapped();
        Opening memory o = _opening("r");
        bytes32 duelId = _open(o);
        vm.prank(stranger);
        court.reportWrongDraw(duelId, SEED, o.requestId, o.first.nonceCommit);
        _assertPunished(dispatcher);
    }

    /// @dev The first executor dispatches, and the dispatcher executes.
    function _swapped() private returns (address, address, uint256 key) {
        (operator, key) = makeAddrAndKey("operator of the dispatcher");
        _setOperator(dispatcher, operator);
        return (first, dispatcher, key);
    }

    /// @dev An opening whose draw gives `executor`, or not, at attempt 0.
    function _drawnOpening(address executor, bool isDrawn) private view returns (Opening memory o) {
        uint32 epoch = court.currentEpoch() - 1;
        for (uint256 i = 0;; ++i) {
            o = _opening(bytes32(i));
            bytes32 point = keccak256(abi.encode(SEED, o.requestId, o.first.nonceCommit));
            address found = court.pick(epoch, uint256(keccak256(abi.encode(point, uint8(0)))));
            if ((found == executor) == isDrawn) return o;
        }
    }

    // -------------------------------------------------------------------------------------------------- reportTwoAnswers
    function test_reportTwoAnswers__differentRequests__reverts() public {
        (Opening memory o, Side[2] memory sides) = _twoAnswers();
        sides[1].lane = stranger;
        vm.expectRevert(IDuels.Duels_NoContradiction.selector);
        _report(o, sides);
    }

    function test_reportTwoAnswers__sameAnswer__reverts() public {
        (Opening memory o, Side[2] memory sides) = _twoAnswers();
        sides[1] = sides[0];
        vm.expectRevert(IDuels.Duels_NoContradiction.selector);
        _report(o, sides);
    }

    function test_reportTwoAnswers__notSigned__reverts() public {
        for (uint256 i = 0; i < 2; ++i) {
            (Opening memory o, Side[2] memory sides) = _twoAnswers();
            sides[i].responseHash = "forged";
            vm.expectPartialRevert(IDuels.Duels_NotSignedByOperator.selector);
            _report(o, sides);
        }
    }

    function test_reportTwoAnswers__generationLongClosed__reverts() public {
        (Opening memory o, Side[2] memory sides) = _twoAnswers();
        vm.prank(first);
        escrow.bumpGeneration(first);
        uint64 until = uint64(block.timestamp) + W + D;
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_TooLate.selector, until));
        _report(o, sides);
        vm.warp(until);
        _report(o, sides);
    }

    function test_reportTwoAnswers__contradicting__slashesTheExecutorOnce() public {
        (Opening memory o, Side[2] memory sides) = _twoAnswers();
        bytes32 occurrence = keccak256(abi.encode(first, dispatcher, dispatcher, uint32(1), o.requestId));
        vm.expectEmit(address(court));
        emit IDuels.FaultProven(first, 3, occurrence, FAULT, BOUNTY);
        vm.prank(stranger);
        _report(o, sides);
        _assertPunished(first);
        (sides[0], sides[1]) = (sides[1], sides[0]);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_AlreadyProven.selector, occurrence));
        _report(o, sides);
    }

    function test_reportTwoAnswers__anotherModel__isAnotherAnswer() public {
        Opening memory o = _opening("r");
        Opening memory other = _opening("r");
        other.model = keccak256("another model");
        _resign(other, other.first, firstKey);
        Side[2] memory sides = [o.first, other.first];
        court.reportTwoAnswers(dispatcher, o.requestId, [o.requestHash, o.requestHash], [o.model, other.model], sides);
        assertEq(registry.slashable(first), MIN_STAKE - FAULT);
    }

    function _twoAnswers() private view returns (Opening memory o, Side[2] memory sides) {
        o = _opening("r");
        sides = [o.first, _opening("r").first];
        sides[1].responseHash = keccak256("another answer");
        _resign(o, sides[1], firstKey);
    }

    function _report(Opening memory o, Side[2] memory sides) private {
        court.reportTwoAnswers(dispatcher, o.requestId, [o.requestHash, o.requestHash], [o.model, o.model], sides);
    }

    function _assertPunished(address culprit) private view {
        assertEq(registry.slashable(culprit), MIN_STAKE - FAULT);
        assertEq(court.balances(stranger), BOUNTY);
        assertEq(registry.burnt(), FAULT - BOUNTY);
    }
}
