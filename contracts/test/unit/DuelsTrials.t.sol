// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DuelState, IDuels, Opening, State, Vote} from "../../src/interfaces/IDuels.sol";
import {Answer, Messages} from "../../src/libraries/Messages.sol";
import {DuelsFixture} from "../base/DuelsFixture.sol";

/// @notice Every branch of `Docket.sol` and `Trials.sol`, named as in `trees/`.
contract DuelsTrialsTest is DuelsFixture {
    using Messages for Answer;

    // ------------------------------------------------------------------------------------------------------------- open
    function test_open__sameRequestAgain__reverts() public {
        bytes32 duelId = _opened();
        Opening memory again = _opening(keccak256("request"));
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_AlreadyOpened.selector, duelId));
        _open(again);
    }

    function test_open__notEnrolled__reverts() public {
        Opening memory o = _opening("r");
        vm.prank(dispatcher);
        court.resign();
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotEnrolled.selector, dispatcher));
        _open(o);
    }

    function test_open__stranger__reverts() public {
        Opening memory o = _opening("r");
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotActor.selector, dispatcher, stranger));
        court.open(o);
    }

    /// @dev D6: with many draws to choose from, one of them names whom the dispatcher likes.
    function test_open__attemptAboveBound__reverts() public {
        Opening memory o = _opening("r");
        o.attempt = 8;
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_TooManyAttempts.selector, 8));
        _open(o);
        o.attempt = 7;
        assertEq(court.duel(_open(o)).attempt, 7);
    }

    function test_open__executorNeverEnrolled__reverts() public {
        Opening memory o = _opening("r");
        o.first.executor = stranger;
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotEnrolled.selector, stranger));
        _open(o);
        o = _opening("r");
        o.second.executor = stranger;
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotEnrolled.selector, stranger));
        _open(o);
    }

    function test_open__sameController__reverts() public {
        address[3] memory parties = [dispatcher, first, second];
        Opening memory o = _opening("r");
        for (uint256 i = 0; i < 3; ++i) {
            uint256 snapshot = vm.snapshotState();
            address controller = parties[(i + 1) % 3];
            vm.prank(controller);
            court.adopt(parties[i]);
            vm.prank(parties[i]);
            court.setController(controller);
            vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_SameController.selector, controller));
            _open(o);
            vm.revertToState(snapshot);
        }
    }

    function test_open__noSeedForTheEpoch__reverts() public {
        vm.warp(_startOf(court.currentEpoch() + 1));
        Opening memory o = _opening("r");
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NoSeed.selector, dispatcher, court.currentEpoch()));
        _open(o);
    }

    function test_open__notSignedByOperator__reverts() public {
        Opening memory o = _opening("r");
        _resign(o, o.first, secondKey);
        vm.expectRevert(
            abi.encodeWithSelector(IDuels.Duels_NotSignedByOperator.selector, vm.addr(secondKey), vm.addr(firstKey))
        );
        _open(o);
        o = _opening("r");
        _resign(o, o.second, firstKey);
        vm.expectRevert(
            abi.encodeWithSelector(IDuels.Duels_NotSignedByOperator.selector, vm.addr(firstKey), vm.addr(secondKey))
        );
        _open(o);
    }

    function test_open__brokenSignature__reverts() public {
        Opening memory o = _opening("r");
        o.first.generation = 2;
        (o.first.signature.r, o.first.signature.vs) = (0, 0);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotSignedByOperator.selector, address(0), address(0)));
        _open(o);
    }

    /// @dev P3: every field that was signed counts.
    function test_open__anyFieldChanged__reverts() public {
        for (uint256 i = 0; i < 7; ++i) {
            Opening memory o = _opening("r");
            if (i == 0) o.requestId = "another";
            if (i == 1) o.requestHash = "another";
            if (i == 2) o.model = "another";
            if (i == 3) o.first.lane = stranger;
            if (i == 4) o.first.responseHash = "another";
            if (i == 5) o.first.nonceCommit = "another";
            if (i == 6) (o.first.executor, o.second.executor) = (second, first);
            vm.expectPartialRevert(IDuels.Duels_NotSignedByOperator.selector);
            _open(o);
        }
    }

    function test_open__generationLongClosed__reverts() public {
        Opening memory o = _opening("r");
        vm.prank(first);
        escrow.bumpGeneration(first);
        uint64 until = uint64(block.timestamp) + W + D;
        _nextEpoch();
        _nextEpoch();
        vm.warp(until + 1);
        vm.roll(block.number + 1);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_TooLate.selector, until));
        _open(o);
        vm.warp(until);
        assertTrue(_open(o) != 0);
    }

    function test_open__balanceBelowBond__reverts() public {
        vm.prank(dispatcher);
        court.collect(dispatcher);
        Opening memory o = _opening("r");
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_Overdraw.selector, BOND, 0));
        _open(o);
    }

    function test_open__valid__locksTheBondAndWaitsForTheBlock() public {
        Opening memory o = _opening("r");
        o.size = 2;
        bytes32 duelId = keccak256(abi.encode(dispatcher, o.requestId));
        vm.expectEmit(address(court));
        emit IDuels.Opened(
            duelId,
            first,
            second,
            dispatcher,
            o.requestId,
            _answer(o, o.first).hash(),
            _answer(o, o.second).hash(),
            o.evidenceRoot,
            o.first.nonceCommit,
            0,
            court.currentEpoch(),
            uint64(block.number) + DELAY,
            uint96(REQUEST_FEE)
        );
        vm.expectEmit(address(court));
        emit IDuels.Asked(duelId, o.model, 2);
        assertEq(_open(o), duelId);
        assertEq(court.balances(dispatcher), PURSE - BOND);
        DuelState memory state = court.duel(duelId);
        assertTrue(state.state == State.Opened);
        assertEq(abi.encode(state.dispatcher, state.first, state.second), abi.encode(dispatcher, first, second));
        assertEq(state.drawBlock, block.number + DELAY);
        assertEq(state.judges.length + state.jurors.length, 0);
    }

    function test_open__byDelegate__opens() public {
        vm.prank(dispatcher);
        court.setDelegate(stranger);
        Opening memory o = _opening("r");
        vm.prank(stranger);
        assertTrue(court.open(o) != 0);
    }

    /// @dev D6: a winner never gains more than what the request cost, nor than 40 % of a slash.
    function test_open__anyFee__boundsThePrize() public {
        Opening memory o = _opening("r");
        o.fee = type(uint128).max;
        assertEq(court.duel(_open(o)).prize, LOSER * 4 / 10);
    }

    // ------------------------------------------------------------------------------------------------------------- draw
    function test_draw__notOpened__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_WrongState.selector, State.None));
        court.draw("nothing");
    }

    function test_draw__twice__reverts() public {
        bytes32 duelId = _drawn();
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_WrongState.selector, State.Judging));
        court.draw(duelId);
    }

    function test_draw__blockNotMined__reverts() public {
        bytes32 duelId = _opened();
        uint64 drawBlock = uint64(block.number) + DELAY;
        vm.roll(drawBlock);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_DrawNotYet.selector, drawBlock));
        court.draw(duelId);
    }

    function test_draw__hashForgotten__reverts() public {
        bytes32 duelId = _opened();
        uint64 drawBlock = uint64(block.number) + DELAY;
        vm.roll(drawBlock + 257);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_DrawMissed.selector, drawBlock));
        court.draw(duelId);
        vm.roll(drawBlock + 256);
        court.draw(duelId);
    }

    function test_draw__snapshotForgotten__reverts() public {
        uint32 epoch = court.currentEpoch();
        bytes32 duelId = _opened();
        vm.roll(block.number + DELAY + 1);
        vm.warp(_startOf(epoch + 2));
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NoSnapshot.selector, epoch - 1));
        court.draw(duelId);
        vm.warp(_startOf(epoch + 2) - 1);
        court.draw(duelId);
    }

    function test_draw__onlyParties__reverts() public {
        for (uint256 i = 0; i < bench.length; ++i) {
            vm.prank(bench[i]);
            court.resign();
        }
        _nextEpoch();
        bytes32 duelId = _opened();
        vm.roll(block.number + DELAY + 1);
        vm.expectRevert(IDuels.Duels_NoJudges.selector);
        court.draw(duelId);
    }

    /// @dev Everybody left in the epoch whose end counts; the dispatcher came back after it.
    function test_draw__nobodyWeighsAnything__reverts() public {
        for (uint256 i = 0; i < bench.length; ++i) {
            vm.prank(bench[i]);
            court.resign();
        }
        vm.prank(first);
        court.resign();
        vm.prank(second);
        court.resign();
        _commitSeed(SEED);
        vm.startPrank(dispatcher);
        court.resign();
        vm.warp(_startOf(court.currentEpoch() + 1));
        court.enroll(address(0));
        vm.stopPrank();
        bytes32 duelId = _opened();
        vm.roll(block.number + DELAY + 1);
        vm.expectRevert(IDuels.Duels_NoJudges.selector);
        court.draw(duelId);
    }

    function test_draw__byAnybody__seatsFiveStrangersOfThePreviousEpoch() public {
        bytes32 duelId = _opened();
        address late = _member("late", 1_000_000 * MIN_STAKE);
        vm.roll(block.number + DELAY + 1);
        uint256 seed = uint256(keccak256(abi.encode(blockhash(block.number - 1), duelId)));
        uint256 places = _expectedSeats(seed, court.currentEpoch() - 1, 5);
        vm.expectEmit(address(court));
        emit IDuels.Drawn(duelId, seed, places, uint64(block.timestamp) + COMMIT);
        vm.prank(stranger);
        court.draw(duelId);
        DuelState memory state = court.duel(duelId);
        assertEq(state.judges.length, 5);
        for (uint256 i = 0; i < 5; ++i) {
            assertEq(state.judges[i], court.providerAt(uint16(places >> (16 * i))));
            assertTrue(state.judges[i] != late);
        }
        assertEq(state.commitEnd, block.timestamp + COMMIT);
        assertEq(state.revealEnd, block.timestamp + COMMIT + REVEAL);
        assertEq(state.appealEnd, block.timestamp + COMMIT + REVEAL + APPEALING);
    }

    /// @dev The draw by hand: walk the members in the order of their places.
    function _expectedSeats(uint256 seed, uint32 epoch, uint256 count) private view returns (uint256 places) {
        uint256 total = court.totalWeight(epoch);
        uint256 found = 0;
        for (uint256 i = 0; found < count; ++i) {
            uint256 point = uint256(keccak256(abi.encode(seed, i))) % total;
            uint256 place = 1;
            for (uint256 weight = 1000; point >= weight; ++place) {
                point -= weight;
                weight = place < 3 ? 1000 : 1000 * (place - 2);
            }
            if (place > 3) places |= place << (16 * found++);
        }
    }

    function test_draw__judgeOfAPartysController__neverSits() public {
        address controller = makeAddr("controller");
        address[6] memory ofIt = [bench[1], bench[2], bench[3], bench[4], bench[5], first];
        for (uint256 i = 0; i < 6; ++i) {
            vm.prank(controller);
            court.adopt(ofIt[i]);
            vm.prank(ofIt[i]);
            court.setController(controller);
        }
        address[] memory judges = _judges(_drawn());
        for (uint256 i = 0; i < 5; ++i) {
            assertTrue(judges[i] == bench[0] || judges[i] == bench[6]);
        }
    }

    function test_draw__appeal__seatsFifteen() public {
        bytes32 duelId = _appealed(_five(5, Vote.First, 0, Vote.None), second);
        _draw(duelId);
        DuelState memory state = court.duel(duelId);
        assertTrue(state.state == State.Retrial);
        assertEq(state.jurors.length, 15);
        assertEq(state.retrialCommitEnd, block.timestamp + COMMIT);
        assertEq(state.retrialEnd, block.timestamp + COMMIT + REVEAL);
        for (uint256 i = 0; i < 15; ++i) {
            assertTrue(state.jurors[i] != address(0) && state.jurors[i] != second);
        }
    }

    // ----------------------------------------------------------------------------------------------------------- commit
    function test_commit__notJudging__reverts() public {
        bytes32 duelId = _opened();
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_WrongState.selector, State.Opened));
        court.commit(duelId, 0, "c");
    }

    function test_commit__jurySeatBeforeAnAppeal__reverts() public {
        bytes32 duelId = _drawn();
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_WrongState.selector, State.Judging));
        court.commit(duelId, 5, "c");
    }

    function test_commit__noSuchSeat__reverts() public {
        bytes32 duelId = _appealed(_five(5, Vote.First, 0, Vote.None), second);
        _draw(duelId);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NoSuchSeat.selector, 20));
        court.commit(duelId, 20, "c");
    }

    function test_commit__notTheJudge__reverts() public {
        bytes32 duelId = _drawn();
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotActor.selector, _judges(duelId)[0], stranger));
        vm.prank(stranger);
        court.commit(duelId, 0, "c");
    }

    function test_commit__tooLate__reverts() public {
        bytes32 duelId = _drawn();
        address judge = _judges(duelId)[0];
        vm.warp(block.timestamp + COMMIT);
        vm.prank(judge);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_TooLate.selector, uint64(block.timestamp)));
        court.commit(duelId, 0, "c");
    }

    function test_commit__twice__reverts() public {
        bytes32 duelId = _drawn();
        _commit(duelId, 0, Vote.First);
        vm.prank(_judges(duelId)[0]);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_AlreadyCommitted.selector, 0));
        court.commit(duelId, 0, "c");
    }

    function test_commit__byDelegate__commits() public {
        bytes32 duelId = _drawn();
        address judge = _judges(duelId)[4];
        vm.prank(judge);
        court.setDelegate(stranger);
        vm.expectEmit(address(court));
        emit IDuels.Committed(duelId, 4, judge, "c");
        vm.prank(stranger);
        court.commit(duelId, 4, "c");
        assertEq(court.commitmentOf(duelId, 4), "c");
    }
}
