// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IDuels, MemberState} from "../../src/interfaces/IDuels.sol";
import {DuelsFixture} from "../base/DuelsFixture.sol";
import {FeeToken} from "../base/Tokens.sol";

/// @notice Every branch of `Purse.sol`, `Members.sol` and `Seeds.sol`, named as in `trees/`.
contract DuelsMembersTest is DuelsFixture {
    // ------------------------------------------------------------------------------------------------------------ money
    function test_fund__zeroAccount__reverts() public {
        vm.expectRevert(IDuels.Duels_ZeroAddress.selector);
        court.fund(address(0), 1);
    }

    function test_fund__zeroAmount__reverts() public {
        vm.expectRevert(IDuels.Duels_ZeroAmount.selector);
        court.fund(payer, 0);
    }

    function test_fund__currencyKeepsAPart__reverts() public {
        vm.etch(address(currency), address(new FeeToken()).code);
        currency.mint(payer, 1000);
        vm.startPrank(payer);
        currency.approve(address(court), 1000);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_AmountMismatch.selector, 1000, 990));
        court.fund(payer, 1000);
    }

    function test_fund__byAnybody__addsToTheAccount() public {
        currency.mint(stranger, 7);
        vm.startPrank(stranger);
        currency.approve(address(court), 7);
        vm.expectEmit(address(court));
        emit IDuels.Funded(payer, stranger, 7);
        court.fund(payer, 7);
        assertEq(court.balances(payer), 7);
        assertEq(currency.balanceOf(address(court)), PURSE + 7);
    }

    function test_collect__toZero__reverts() public {
        vm.expectRevert(IDuels.Duels_ZeroAddress.selector);
        court.collect(address(0));
    }

    function test_collect__nothing__reverts() public {
        vm.expectRevert(IDuels.Duels_ZeroAmount.selector);
        court.collect(payer);
    }

    function test_collect__toTheCourt__reverts() public {
        vm.prank(dispatcher);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_AmountMismatch.selector, PURSE, 0));
        court.collect(address(court));
    }

    function test_collect__something__paysAll() public {
        vm.expectEmit(address(court));
        emit IDuels.Collected(dispatcher, stranger, PURSE);
        vm.prank(dispatcher);
        court.collect(stranger);
        assertEq(currency.balanceOf(stranger), PURSE);
        assertEq(court.balances(dispatcher), 0);
    }

    // ----------------------------------------------------------------------------------------------------------- enroll
    function test_enroll__notListed__reverts() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_StakeTooLow.selector, stranger));
        court.enroll(address(0));
    }

    function test_enroll__again__reverts() public {
        vm.prank(first);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_AlreadyEnrolled.selector, first));
        court.enroll(address(0));
    }

    function test_enroll__listed__weighsLinearlyInStake() public {
        _register(payee, 3 * MIN_STAKE);
        vm.expectEmit(address(court));
        emit IDuels.Enrolled(payee, 11, operator);
        vm.expectEmit(address(court));
        emit IDuels.Weighed(payee, 11, court.currentEpoch(), 0, 3000);
        vm.prank(payee);
        court.enroll(operator);
        assertEq(abi.encode(court.member(payee)), abi.encode(MemberState(11, true, payee, operator, 3000)));
        assertEq(court.providerAt(11), payee);
    }

    function test_enroll__enormousStake__weighsTheMost() public {
        _register(payee, type(uint128).max - 100_000 * MIN_STAKE);
        vm.prank(payee);
        court.enroll(operator);
        assertEq(court.member(payee).weight, (1 << 40) - 1);
    }

    function test_enroll__thisEpoch__countsInTheNext() public {
        uint32 epoch = court.currentEpoch();
        uint256 before = court.totalWeight(epoch);
        _member("newcomer", MIN_STAKE);
        assertEq(court.totalWeight(epoch - 1), before);
        assertEq(court.totalWeight(epoch), before + 1000);
    }

    function test_enroll__afterResigning__keepsThePlace() public {
        vm.startPrank(first);
        court.resign();
        court.enroll(operator);
        assertEq(court.member(first).place, 2);
        assertEq(court.member(first).delegate, operator);
    }

    function test_enroll__allPlacesTaken__reverts() public {
        vm.store(address(court), _lastPlaceSlot(), bytes32(uint256(type(uint16).max)));
        _register(payee, MIN_STAKE);
        vm.prank(payee);
        vm.expectRevert(IDuels.Duels_Full.selector);
        court.enroll(address(0));
    }

    /// @dev Found, not assumed: the slot that holds how many members there are.
    function _lastPlaceSlot() private returns (bytes32 slot) {
        vm.record();
        _member("probe", MIN_STAKE);
        (, bytes32[] memory writes) = vm.accesses(address(court));
        for (uint256 i = 0; i < writes.length; ++i) {
            if (uint256(writes[i]) < 20 && vm.load(address(court), writes[i]) == bytes32(uint256(11))) {
                slot = writes[i];
            }
        }
        assertTrue(slot != 0);
    }

    // ---------------------------------------------------------------------------------------------------------- leaving
    function test_resign__notEnrolled__reverts() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotEnrolled.selector, stranger));
        court.resign();
    }

    function test_resign__twice__reverts() public {
        vm.startPrank(first);
        court.resign();
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotEnrolled.selector, first));
        court.resign();
    }

    function test_resign__enrolled__weighsNothingFromTheNextEpochOn() public {
        uint32 epoch = court.currentEpoch();
        uint256 before = court.totalWeight(epoch - 1);
        vm.expectEmit(address(court));
        emit IDuels.Resigned(first);
        vm.prank(first);
        court.resign();
        assertFalse(court.member(first).active);
        assertEq(court.totalWeight(epoch), before - 1000);
        assertEq(court.totalWeight(epoch - 1), before);
    }

    // ------------------------------------------------------------------------------------------------------- identities
    function test_setDelegate__notEnrolled__reverts() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotEnrolled.selector, stranger));
        court.setDelegate(operator);
    }

    function test_setDelegate__enrolled__sets() public {
        vm.expectEmit(address(court));
        emit IDuels.DelegateSet(first, address(0), operator);
        vm.prank(first);
        court.setDelegate(operator);
        assertEq(court.member(first).delegate, operator);
    }

    function test_adopt__zero__reverts() public {
        vm.expectRevert(IDuels.Duels_ZeroAddress.selector);
        court.adopt(address(0));
    }

    function test_adopt__anybody__changesNothingOfTheProvider() public {
        vm.expectEmit(address(court));
        emit IDuels.Adopted(stranger, first);
        vm.prank(stranger);
        court.adopt(first);
        assertEq(court.member(first).controller, first);
    }

    function test_setController__notEnrolled__reverts() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotEnrolled.selector, stranger));
        court.setController(stranger);
    }

    function test_setController__notAdopted__reverts() public {
        vm.startPrank(first);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotAdopted.selector, stranger, first));
        court.setController(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotAdopted.selector, address(0), first));
        court.setController(address(0));
    }

    function test_setController__adopted__sets() public {
        vm.prank(stranger);
        court.adopt(first);
        vm.expectEmit(address(court));
        emit IDuels.ControllerSet(first, first, stranger);
        vm.prank(first);
        court.setController(stranger);
        assertEq(court.member(first).controller, stranger);
    }

    /// @dev A stranger cannot take an adoption's place by another one.
    function test_setController__adoptedByAStrangerToo__sets() public {
        vm.prank(payee);
        court.adopt(first);
        vm.prank(stranger);
        court.adopt(first);
        vm.prank(first);
        court.setController(payee);
        assertEq(court.member(first).controller, payee);
    }

    function test_setController__oneself__isAlwaysAllowed() public {
        test_setController__adopted__sets();
        vm.prank(first);
        court.setController(first);
        assertEq(court.member(first).controller, first);
    }

    // ------------------------------------------------------------------------------------------------------------- sync
    function test_sync__notEnrolled__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotEnrolled.selector, stranger));
        court.sync(stranger);
    }

    function test_sync__nothingChanged__emitsNothing() public {
        vm.recordLogs();
        court.sync(first);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    /// @dev D4: stake that left is not drawn, whoever says so.
    function test_sync__deregistered__weighsNothing() public {
        vm.prank(first);
        registry.deregister();
        vm.expectEmit(address(court));
        emit IDuels.Weighed(first, 2, court.currentEpoch(), 1000, 0);
        vm.prank(stranger);
        court.sync(first);
        assertEq(court.member(first).weight, 0);
    }

    function test_sync__stakeBelowHalfTheMinimum__ejects() public {
        vm.startPrank(address(escrow));
        registry.slash(first, 0, MIN_STAKE / 2);
        court.sync(first);
        assertEq(court.member(first).weight, 500);
        registry.slash(first, 0, 1);
        court.sync(first);
        assertEq(court.member(first).weight, 0);
    }

    function test_sync__resigned__staysOut() public {
        vm.prank(first);
        court.resign();
        court.sync(first);
        assertEq(court.member(first).weight, 0);
    }

    // ------------------------------------------------------------------------------------------------------------ seeds
    function test_commitSeed__notEnrolled__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotEnrolled.selector, stranger));
        court.commitSeed(stranger, SEED, RATE);
    }

    function test_commitSeed__stranger__reverts() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NotActor.selector, first, stranger));
        court.commitSeed(first, SEED, RATE);
    }

    function test_commitSeed__badRate__reverts() public {
        vm.startPrank(first);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_RateOutOfBounds.selector, 0));
        court.commitSeed(first, SEED, 0);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_RateOutOfBounds.selector, 1001));
        court.commitSeed(first, SEED, 1001);
    }

    function test_commitSeed__twice__reverts() public {
        vm.startPrank(first);
        court.commitSeed(first, SEED, RATE);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_SeedCommitted.selector, court.currentEpoch() + 1));
        court.commitSeed(first, "other", RATE);
    }

    function test_commitSeed__byDelegate__commitsForTheNextEpoch() public {
        vm.prank(first);
        court.setDelegate(operator);
        uint32 next = court.currentEpoch() + 1;
        vm.expectEmit(address(court));
        emit IDuels.SeedCommitted(first, next, SEED, 50);
        vm.prank(operator);
        court.commitSeed(first, SEED, 50);
        (bytes28 commitment, uint16 rate, bool revealed) = court.seedOf(first, next);
        assertEq(abi.encode(commitment, rate, revealed), abi.encode(bytes28(SEED), 50, false));
    }

    function test_revealSeed__epochNotOver__reverts() public {
        uint32 epoch = court.currentEpoch();
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_EpochNotOver.selector, epoch));
        court.revealSeed(dispatcher, epoch, SEED);
    }

    function test_revealSeed__tooLate__reverts() public {
        uint32 epoch = court.currentEpoch();
        uint64 until = uint64(_startOf(epoch + 1)) + EPOCH / 2;
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_RevealTooLate.selector, until));
        court.revealSeed(dispatcher, epoch, SEED);
    }

    function test_revealSeed__noneCommitted__reverts() public {
        uint32 epoch = court.currentEpoch();
        vm.warp(_startOf(epoch + 1));
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_NoSeed.selector, first, epoch));
        court.revealSeed(first, epoch, SEED);
    }

    function test_revealSeed__anotherSeed__reverts() public {
        uint32 epoch = court.currentEpoch();
        vm.warp(_startOf(epoch + 1));
        vm.expectRevert(IDuels.Duels_WrongSeed.selector);
        court.revealSeed(dispatcher, epoch, "another");
    }

    function test_revealSeed__twice__reverts() public {
        uint32 epoch = court.currentEpoch();
        vm.warp(_startOf(epoch + 1));
        court.revealSeed(dispatcher, epoch, SEED);
        vm.expectRevert(abi.encodeWithSelector(IDuels.Duels_SeedRevealed.selector, epoch));
        court.revealSeed(dispatcher, epoch, SEED);
    }

    function test_revealSeed__lastMoment__reveals() public {
        uint32 epoch = court.currentEpoch();
        vm.warp(_startOf(epoch + 1) + EPOCH / 2);
        vm.expectEmit(address(court));
        emit IDuels.SeedRevealed(dispatcher, epoch, SEED);
        court.revealSeed(dispatcher, epoch, SEED);
        (,, bool revealed) = court.seedOf(dispatcher, epoch);
        assertTrue(revealed);
    }
}
