// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DuelState, IDuels, State, Vote} from "../../src/interfaces/IDuels.sol";
import {IRegistry} from "../../src/interfaces/IRegistry.sol";
import {DuelsFixture} from "../base/DuelsFixture.sol";

/// @notice Revealing, appealing and ending, named as in `trees/`.
contract DuelsVotesTest is DuelsFixture {
    // ----------------------------------------------------------------------------------------------------------- reveal
    function test_reveal__notJudging__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_WrongState.selector, State.None));
        _reveal("nothing", 0, Vote.First);
    }

    function test_reveal__tooEarly__reverts() public {
        bytes32 duelId = _drawn();
        _commit(duelId, 0, Vote.First);
        uint64 from = uint64(block.timestamp) + COMMIT;
        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_TooEarly.selector, from));
        _reveal(duelId, 0, Vote.First);
    }

    function test_reveal__tooLate__reverts() public {
        bytes32 duelId = _drawn();
        _commit(duelId, 0, Vote.First);
        vm.warp(block.timestamp + COMMIT + REVEAL);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_TooLate.selector, uint64(block.timestamp)));
        _reveal(duelId, 0, Vote.First);
    }

    function test_reveal__none__reverts() public {
        bytes32 duelId = _drawn();
        vm.warp(block.timestamp + COMMIT);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_BadVote.selector, Vote.None));
        _reveal(duelId, 0, Vote.None);
    }

    function test_reveal__notWhatWasCommitted__reverts() public {
        bytes32 duelId = _drawn();
        _commit(duelId, 0, Vote.First);
        vm.warp(block.timestamp + COMMIT);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotCommitted.selector, 0));
        _reveal(duelId, 0, Vote.Second);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotCommitted.selector, 1));
        _reveal(duelId, 1, Vote.First);
    }

    /// @dev D9: who copies a commitment cannot reveal it, not even with the salt that became known.
    function test_reveal__copiedCommitment__reverts() public {
        bytes32 duelId = _drawn();
        _commit(duelId, 0, Vote.First);
        bytes32 copied = court.commitmentOf(duelId, 0);
        for (uint8 seat = 1; seat < 5; ++seat) {
            address judge = _judgeAt(duelId, seat);
            if (judge == _judgeAt(duelId, 0)) continue;
            vm.prank(judge);
            court.commit(duelId, seat, copied);
        }
        vm.warp(block.timestamp + COMMIT);
        _reveal(duelId, 0, Vote.First);
        for (uint8 seat = 1; seat < 5; ++seat) {
            vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotCommitted.selector, seat));
            court.reveal(duelId, seat, Vote.First, 0, RATIONALE);
        }
    }

    function test_reveal__twice__reverts() public {
        bytes32 duelId = _drawn();
        _commit(duelId, 0, Vote.First);
        vm.warp(block.timestamp + COMMIT);
        _reveal(duelId, 0, Vote.First);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotCommitted.selector, 0));
        _reveal(duelId, 0, Vote.First);
    }

    function test_reveal__committed__countsTheVote() public {
        bytes32 duelId = _drawn();
        _commit(duelId, 3, Vote.NoEvidence);
        vm.warp(block.timestamp + COMMIT);
        vm.expectEmit(address(court));
        emit IDuels.Revealed(duelId, 3, _judgeAt(duelId, 3), Vote.NoEvidence, RATIONALE);
        vm.prank(stranger);
        _reveal(duelId, 3, Vote.NoEvidence);
        DuelState memory state = court.duel(duelId);
        assertTrue(state.votes[3] == Vote.NoEvidence && state.votes[2] == Vote.None);
        assertEq(court.commitmentOf(duelId, 3), 0);
    }

    // ----------------------------------------------------------------------------------------------------------- appeal
    function test_appeal__notJudging__reverts() public {
        bytes32 duelId = _opened();
        vm.prank(second);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_WrongState.selector, State.Opened));
        court.appeal(duelId, second);
    }

    function test_appeal__twice__reverts() public {
        bytes32 duelId = _appealed(_five(4, Vote.First, 0, Vote.None), second);
        vm.prank(first);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_WrongState.selector, State.Appealed));
        court.appeal(duelId, first);
    }

    function test_appeal__tooEarly__reverts() public {
        bytes32 duelId = _drawn();
        uint64 from = uint64(block.timestamp) + COMMIT + REVEAL;
        vm.warp(from - 1);
        vm.prank(second);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_TooEarly.selector, from));
        court.appeal(duelId, second);
    }

    function test_appeal__tooLate__reverts() public {
        bytes32 duelId = _judged(_five(4, Vote.First, 0, Vote.None));
        vm.warp(block.timestamp + APPEALING);
        vm.prank(second);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_TooLate.selector, uint64(block.timestamp)));
        court.appeal(duelId, second);
    }

    function test_appeal__withAnothersMoney__reverts() public {
        bytes32 duelId = _judged(_five(4, Vote.First, 0, Vote.None));
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotActor.selector, dispatcher, stranger));
        court.appeal(duelId, dispatcher);
    }

    function test_appeal__forNobodyKnown__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotEnrolled.selector, stranger));
        court.appeal("nothing", stranger);
    }

    function test_appeal__withoutMoney__reverts() public {
        bytes32 duelId = _judged(_five(4, Vote.First, 0, Vote.None));
        vm.prank(second);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_Overdraw.selector, APPEAL_BOND, 0));
        court.appeal(duelId, second);
    }

    function test_appeal__inTime__locksTheBondAndWaitsForTheBlock() public {
        bytes32 duelId = _judged(_five(4, Vote.First, 0, Vote.None));
        _fundCourt(second, APPEAL_BOND + 3);
        vm.expectEmit(address(court));
        emit IDuels.AppealOpened(duelId, second, State.FirstWon, uint64(block.number) + DELAY);
        vm.prank(second);
        court.appeal(duelId, second);
        assertEq(court.balances(second), 3);
        DuelState memory state = court.duel(duelId);
        assertTrue(state.state == State.Appealed);
        assertEq(state.appellant, second);
        assertEq(state.retrialBlock, block.number + DELAY);
    }

    function test_appeal__byDelegate__locksTheProvidersMoney() public {
        bytes32 duelId = _judged(_five(4, Vote.First, 0, Vote.None));
        _fundCourt(second, APPEAL_BOND);
        vm.prank(second);
        court.setDelegate(stranger);
        vm.prank(stranger);
        court.appeal(duelId, second);
        assertEq(court.balances(second), 0);
    }

    // --------------------------------------------------------------------------------------------------------- finalize
    function test_finalize__unknown__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_WrongState.selector, State.None));
        court.finalize("nothing");
    }

    function test_finalize__again__reverts() public {
        bytes32 duelId = _finalized(_five(5, Vote.Tie, 0, Vote.None));
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_WrongState.selector, State.Tied));
        court.finalize(duelId);
    }

    function test_finalize__drawPossible__reverts() public {
        bytes32 duelId = _opened();
        uint64 until = uint64(block.number) + DELAY + 256;
        vm.roll(until);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_DrawPossible.selector, until));
        court.finalize(duelId);
    }

    /// @dev A missed draw voids the duel and costs the bond.
    function test_finalize__drawMissed__voidsAndBurnsTheBond() public {
        bytes32 duelId = _opened();
        vm.roll(block.number + DELAY + 257);
        vm.expectEmit(address(court));
        emit IDuels.Finalized(duelId, State.Voided, 0, 0, 0, 0, 0);
        vm.prank(stranger);
        court.finalize(duelId);
        assertEq(court.burnt(), BOND);
        assertEq(court.balances(dispatcher), PURSE - BOND);
        assertEq(registry.burnt(), 0);
    }

    function test_finalize__appealPossible__reverts() public {
        bytes32 duelId = _judged(_five(5, Vote.First, 0, Vote.None));
        uint64 end = uint64(block.timestamp) + APPEALING;
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_TooEarly.selector, end));
        court.finalize(duelId);
    }

    /// @dev 40 % to the winner, at most the request's fee; 30 % to the judges; the rest burnt.
    function test_finalize__fiveForTheFirst__slashesTheSecond() public {
        bytes32 duelId = _judged(_five(5, Vote.First, 0, Vote.None));
        vm.warp(block.timestamp + APPEALING);
        uint128 share = LOSER * 3 / 10 / 5;
        vm.expectEmit(address(court));
        emit IDuels.Finalized(duelId, State.FirstWon, LOSER, REQUEST_FEE, share, BOND - 5 * FEE, 0);
        vm.expectCall(address(registry), abi.encodeWithSelector(IRegistry.slash.selector), 1);
        vm.prank(stranger);
        court.finalize(duelId);
        assertEq(court.balances(first), REQUEST_FEE);
        assertEq(court.balances(dispatcher), PURSE - 5 * FEE);
        assertEq(_judgesBalances(duelId), 5 * (FEE + share));
        assertEq(registry.slashable(second), MIN_STAKE - LOSER);
        assertEq(registry.burnt(), LOSER - REQUEST_FEE - 5 * share);
        _checkSums();
    }

    function test_finalize__fourForTheSecond__slashesTheFirstAndTheDissenter() public {
        bytes32 duelId = _finalized(_five(4, Vote.Second, 1, Vote.First));
        uint128 share = LOSER * 3 / 10 / 4;
        assertTrue(_stateOf(duelId) == State.SecondWon);
        assertEq(court.balances(second), REQUEST_FEE);
        assertEq(registry.slashable(first), MIN_STAKE - LOSER);
        assertEq(_judgesBalances(duelId), 5 * FEE + 4 * share);
        assertEq(registry.burnt(), LOSER - REQUEST_FEE - 4 * share + MINORITY);
        _checkSums();
    }

    function test_finalize__threeAgainstTwo__isATieAndSlashesNobody() public {
        bytes32 duelId = _finalized(_five(3, Vote.First, 2, Vote.Second));
        assertTrue(_stateOf(duelId) == State.Tied);
        assertEq(court.balances(dispatcher), PURSE - 5 * FEE);
        assertEq(registry.burnt() + court.burnt(), 0);
        _checkSums();
    }

    function test_finalize__nobodyVoted__slashesTheSilentAndReturnsTheBond() public {
        bytes32 duelId = _finalized(_five(0, Vote.First, 0, Vote.First));
        assertTrue(_stateOf(duelId) == State.Tied);
        assertEq(court.balances(dispatcher), PURSE);
        assertEq(registry.burnt(), 5 * SILENT);
        _checkSums();
    }

    /// @dev D12: who withholds the evidence loses the bond; nobody else loses anything.
    function test_finalize__threeWithoutEvidence__voidsAndBurnsTheBond() public {
        bytes32 duelId = _finalized(_five(3, Vote.NoEvidence, 2, Vote.First));
        assertTrue(_stateOf(duelId) == State.Voided);
        assertEq(court.balances(dispatcher), PURSE - BOND);
        assertEq(court.burnt(), BOND - 5 * FEE);
        assertEq(registry.burnt(), 0);
        _checkSums();
    }

    /// @dev D5: a verdict never reverts for asking too much, and the burnt part is never the short one.
    function test_finalize__loserHasLessThanTheSlash__sharesWhatThereIs() public {
        vm.prank(address(escrow));
        registry.slash(second, 0, MIN_STAKE - 10);
        uint256 burntBefore = registry.burnt();
        _finalized(_five(5, Vote.First, 0, Vote.None));
        assertEq(registry.slashable(second), 0);
        assertEq(court.balances(first), 4);
        assertEq(registry.burnt() - burntBefore, 6);
        _checkSums();
    }

    /// @dev D4: what is unbonding is slashed too.
    function test_finalize__loserLeft__slashesWhatIsUnbonding() public {
        bytes32 duelId = _judged(_five(5, Vote.First, 0, Vote.None));
        vm.startPrank(second);
        court.resign();
        registry.deregister();
        vm.stopPrank();
        vm.warp(block.timestamp + APPEALING);
        court.finalize(duelId);
        assertEq(registry.slashable(second), MIN_STAKE - LOSER);
    }

    function test_finalize__juryDrawPossible__reverts() public {
        bytes32 duelId = _appealed(_five(5, Vote.First, 0, Vote.None), second);
        uint64 until = uint64(block.number) + DELAY + 256;
        vm.roll(until);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_DrawPossible.selector, until));
        court.finalize(duelId);
    }

    function test_finalize__juryDrawMissed__letsTheVerdictStand() public {
        bytes32 duelId = _appealed(_five(5, Vote.First, 0, Vote.None), second);
        vm.roll(block.number + DELAY + 257);
        court.finalize(duelId);
        assertTrue(_stateOf(duelId) == State.FirstWon);
        assertEq(court.burnt(), APPEAL_BOND);
        assertEq(registry.slashable(second), MIN_STAKE - LOSER);
        _checkSums();
    }

    function test_finalize__juryStillVotes__reverts() public {
        bytes32 duelId = _appealed(_five(5, Vote.First, 0, Vote.None), second);
        _draw(duelId);
        uint64 end = uint64(block.timestamp) + COMMIT + REVEAL;
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_TooEarly.selector, end));
        court.finalize(duelId);
    }

    function test_finalize__juryOverturns__slashesTheJudgesAndReturnsTheRest() public {
        bytes32 duelId = _retried(10, Vote.Second, 5, Vote.First);
        assertTrue(_stateOf(duelId) == State.SecondWon);
        uint128 share = LOSER * 3 / 10 / 10;
        assertEq(registry.slashable(first), MIN_STAKE - LOSER);
        assertEq(court.balances(second), REQUEST_FEE + APPEAL_BOND - 15 * FEE);
        assertEq(registry.burnt(), LOSER - REQUEST_FEE - 10 * share + (5 + 5) * MINORITY);
        assertEq(court.burnt(), 0);
        _checkSums();
    }

    function test_finalize__juryConfirms__burnsTheAppellantsRest() public {
        bytes32 duelId = _retried(10, Vote.First, 3, Vote.Second);
        assertTrue(_stateOf(duelId) == State.FirstWon);
        uint128 share = LOSER * 3 / 10 / 15;
        assertEq(court.balances(second), 0);
        assertEq(court.burnt(), APPEAL_BOND - 13 * FEE);
        assertEq(registry.burnt(), LOSER - REQUEST_FEE - 15 * share + 3 * MINORITY + 2 * SILENT);
        _checkSums();
    }

    function test_finalize__juryUndecided__isATie() public {
        bytes32 duelId = _retried(9, Vote.First, 6, Vote.Second);
        assertTrue(_stateOf(duelId) == State.Tied);
        assertEq(registry.burnt(), 0);
        assertEq(court.balances(second), APPEAL_BOND - 15 * FEE);
        _checkSums();
    }

    function test_finalize__juryWithoutEvidence__voids() public {
        bytes32 duelId = _retried(9, Vote.NoEvidence, 6, Vote.First);
        assertTrue(_stateOf(duelId) == State.Voided);
        assertEq(court.balances(dispatcher), PURSE - BOND);
        assertEq(registry.burnt(), 0);
        _checkSums();
    }

    // ---------------------------------------------------------------------------------------------------------- helpers
    function _finalized(Vote[] memory votes) private returns (bytes32 duelId) {
        duelId = _judged(votes);
        vm.warp(block.timestamp + APPEALING);
        court.finalize(duelId);
    }

    /// @dev The judges said First; the second executor appealed; the jury votes as told.
    function _retried(uint256 n, Vote a, uint256 m, Vote b) private returns (bytes32 duelId) {
        duelId = _appealed(_five(5, Vote.First, 0, Vote.None), second);
        _draw(duelId);
        _trial(duelId, 5, _votes(15, n, a, m, b));
        court.finalize(duelId);
    }

    /// @dev Of all members of the bench: a judge may hold several seats.
    function _judgesBalances(bytes32) private view returns (uint256 sum) {
        for (uint256 i = 0; i < bench.length; ++i) {
            sum += court.balances(bench[i]);
        }
    }

    /// @dev DINV1 once no duel is open: what the court holds is what it owes.
    function _checkSums() private view {
        uint256 owed = court.burnt() + court.balances(dispatcher) + court.balances(first) + court.balances(second);
        assertEq(currency.balanceOf(address(court)), owed + _judgesBalances(0));
    }
}
