// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IEscrow, Item, Signature, Status} from "../../src/interfaces/IEscrow.sol";
import {Provider} from "../../src/interfaces/IRegistry.sol";
import {Claim, Messages, Receipt as SignedReceipt} from "../../src/libraries/Messages.sol";
import {Fixture} from "../base/Fixture.sol";

/// @notice `challengeOverclaim`: who is convicted, who is not, and where the money goes.
contract ChallengeTest is Fixture {
    using Messages for *;

    uint128 private constant ALLOTTED = 10_000e6;

    function setUp() public override {
        super.setUp();
        _setOperator(payee, operator);
        _register(payee, MIN_STAKE);
        _fund(payer, ALLOTTED);
        _allot(payer, payee, ALLOTTED);
    }

    // ------------------------------------------------------------------------------------------------ not convicted
    function test_challengeOverclaim__otherLane__reverts() public {
        Claim memory claim = _claimOf(_item(300, 400), payer);
        for (uint256 field = 0; field < 4; ++field) {
            SignedReceipt memory receipt = _receiptOf(claim, claim.seq, 100);
            if (field == 0) receipt.payer = stranger;
            if (field == 1) receipt.payee = stranger;
            if (field == 2) receipt.lane = stranger;
            if (field == 3) receipt.generation = 2;
            _expect(abi.encodeWithSelector(IEscrow.Escrow_NotSameLane.selector), claim, receipt, operatorKey);
        }
    }

    /// @dev INV9: an honest receipt is older, or says no less.
    function test_challengeOverclaim__honest__reverts() public {
        Claim memory claim = _claimOf(_item(300, 400), payer);
        bytes memory reason = abi.encodeWithSelector(IEscrow.Escrow_NoContradiction.selector);
        _expect(reason, claim, _receiptOf(claim, claim.seq - 1, 299), operatorKey);
        _expect(reason, claim, _receiptOf(claim, claim.seq, 300), operatorKey);
        _expect(reason, claim, _receiptOf(claim, claim.seq + 1, 301), operatorKey);
    }

    function test_challengeOverclaim__receiptByAnother__reverts() public {
        Claim memory claim = _claimOf(_item(300, 400), payer);
        bytes memory reason = abi.encodeWithSelector(IEscrow.Escrow_NotSignedByOperator.selector, signer, operator);
        _expect(reason, claim, _receiptOf(claim, claim.seq, 1), signerKey);
    }

    function test_challengeOverclaim__claimByAnother__reverts() public {
        Claim memory claim = _claimOf(_item(300, 400), payer);
        SignedReceipt memory receipt = _receiptOf(claim, claim.seq, 1);
        Signature memory bad = _sign(signerKey, claim.hash());
        Signature memory good = _sign(operatorKey, receipt.hash());
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotSignedByOperator.selector, signer, operator));
        escrow.challengeOverclaim(claim, bad, receipt, good);
    }

    function test_challengeOverclaim__noOperatorBadSignature__reverts() public {
        Claim memory claim = _claimOf(_item(300, 400), payer);
        claim.generation = 5;
        SignedReceipt memory receipt = _receiptOf(claim, claim.seq, 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotSignedByOperator.selector, address(0), address(0)));
        escrow.challengeOverclaim(claim, Signature(0, 0), receipt, Signature(0, 0));
    }

    function test_challengeOverclaim__nothingMined__reverts() public {
        Claim memory claim = _claimOf(_item(300, 400), payer);
        _expect(
            abi.encodeWithSelector(IEscrow.Escrow_NoExcess.selector),
            claim,
            _receiptOf(claim, claim.seq, 1),
            operatorKey
        );
    }

    /// @dev The excess counts what was really paid: a claim that was paid in part is convicted for that part.
    function test_challengeOverclaim__receiptAboveWhatWasPaid__reverts() public {
        Item memory item = _item(ALLOTTED + 500, ALLOTTED + 500);
        assertTrue(_claim(item) == Status.PaidPart);
        Claim memory claim = _claimOf(item, payer);
        _expect(
            abi.encodeWithSelector(IEscrow.Escrow_NoExcess.selector),
            claim,
            _receiptOf(claim, claim.seq, ALLOTTED),
            operatorKey
        );
    }

    function test_challengeOverclaim__closedTooLong__reverts() public {
        Item memory item = _item(300e6, 400e6);
        _claim(item);
        Claim memory claim = _claimOf(item, payer);
        SignedReceipt memory receipt = _receiptOf(claim, claim.seq, 200e6);
        vm.prank(payee);
        escrow.bumpGeneration(payee);
        uint64 until = uint64(block.timestamp) + W + D;
        vm.warp(until + 1);
        _expect(abi.encodeWithSelector(IEscrow.Escrow_ChallengeTooLate.selector, until), claim, receipt, operatorKey);
        vm.warp(until);
        _challenge(claim, receipt);
        assertEq(escrow.free(payer), 100e6);
    }

    // ---------------------------------------------------------------------------------------------------- convicted
    function test_challengeOverclaim__overclaimed__returnsAndBurnsAsMuch() public {
        Item memory item = _item(300e6, 400e6);
        _claim(item);
        Claim memory claim = _claimOf(item, payer);
        vm.expectEmit(address(escrow));
        emit IEscrow.OverclaimChallenged(payer, payee, payer, 1, 100e6, 100e6, 100e6, 200e6, stranger);
        vm.prank(stranger);
        this.challenge(claim, _receiptOf(claim, claim.seq, 200e6));
        assertEq(escrow.free(payer), 100e6);
        assertEq(escrow.burnt(), 100e6);
        assertEq(escrow.earningsOf(payee).current, 100e6);
        assertEq(registry.slashable(payee), MIN_STAKE);
        (, uint128 returned) = escrow.laneGeneration(payer, payee, payer, 1);
        assertEq(returned, 100e6);
        assertEq(currency.balanceOf(address(escrow)), ALLOTTED);
    }

    /// @dev The floor once a generation: a small lie is not cheap, a second one burns no floor again.
    function test_challengeOverclaim__small__burnsTheFloorOnce() public {
        Item memory item = _item(300e6, 400e6);
        _claim(item);
        Claim memory claim = _claimOf(item, payer);
        _challenge(claim, _receiptOf(claim, claim.seq, 300e6 - 10));
        assertEq(escrow.burnt(), FLOOR);
        assertTrue(escrow.generationState(payee, 1).floorBurnt);
        _challenge(claim, _receiptOf(claim, claim.seq, 300e6 - 30));
        assertEq(escrow.burnt(), FLOOR + 20);
        assertEq(escrow.free(payer), 30);
        vm.prank(payee);
        escrow.bumpGeneration(payee);
        item = _blank(500e6, 500e6);
        item.generation = 2;
        item = _signed(item, payerKey, operatorKey);
        _claim(item);
        claim = _claimOf(item, payer);
        _challenge(claim, _receiptOf(claim, claim.seq, 500e6 - 1));
        assertEq(escrow.burnt(), 2 * FLOOR + 20);
    }

    function test_challengeOverclaim__again__countsWhatWasReturned() public {
        Item memory item = _item(300e6, 400e6);
        _claim(item);
        Claim memory claim = _claimOf(item, payer);
        _challenge(claim, _receiptOf(claim, claim.seq, 200e6));
        _expect(
            abi.encodeWithSelector(IEscrow.Escrow_NoExcess.selector),
            claim,
            _receiptOf(claim, claim.seq, 200e6),
            operatorKey
        );
        _challenge(claim, _receiptOf(claim, claim.seq, 150e6));
        assertEq(escrow.free(payer), 150e6);
        assertEq(escrow.burnt(), 150e6);
    }

    /// @dev Earnings first, then stake; half of the pot at most goes back.
    function test_challengeOverclaim__moreThanEarnings__takesStake() public {
        Item memory item = _item(6000e6, 6000e6);
        _claim(item);
        Claim memory claim = _claimOf(item, payer);
        _challenge(claim, _receiptOf(claim, claim.seq, 0));
        assertEq(escrow.free(payer), 3500e6);
        assertEq(escrow.burnt(), 2500e6);
        assertEq(registry.burnt(), 1000e6);
        assertEq(registry.slashable(payee), 0);
        assertEq(escrow.earningsOf(payee).current, 0);
    }

    function test_challengeOverclaim__earningsReleased__takesStakeAlone() public {
        Item memory item = _item(300e6, 400e6);
        _claim(item);
        vm.warp(block.timestamp + 2 * D);
        Claim memory claim = _claimOf(item, payer);
        _challenge(claim, _receiptOf(claim, claim.seq, 100e6));
        assertEq(escrow.free(payer), 200e6);
        assertEq(registry.burnt(), 200e6);
        assertEq(registry.slashable(payee), MIN_STAKE - 400e6);
        assertEq(currency.balanceOf(address(escrow)), ALLOTTED + 200e6);
        assertEq(escrow.earningsOf(payee).released, 300e6);
    }

    /// @dev What the unreleased earnings do not cover comes from the stake, to the unit.
    function test_challengeOverclaim__earningsCoverAPart__takesTheRestFromStake() public {
        _claim(_item(300e6, 400e6));
        vm.warp(block.timestamp + 2 * D);
        Item memory item = _item(350e6, 400e6);
        _claim(item);
        Claim memory claim = _claimOf(item, payer);
        _challenge(claim, _receiptOf(claim, claim.seq, 200e6));
        assertEq(escrow.free(payer), 150e6);
        assertEq(escrow.burnt(), 0);
        assertEq(registry.burnt(), 150e6);
        assertEq(registry.slashable(payee), MIN_STAKE - 250e6);
        assertEq(escrow.earningsOf(payee).released, 300e6);
    }

    /// @dev Released soonest is taken first, so the rest of a slashed payee's earnings is the part that waits longest.
    function test_challengeOverclaim__twoBuckets__takesTheOlderFirst() public {
        Item memory item = _item(300e6, 900e6);
        _claim(item);
        vm.warp(block.timestamp + D);
        item = _item(500e6, 900e6);
        _claim(item);
        Claim memory claim = _claimOf(item, payer);
        _challenge(claim, _receiptOf(claim, claim.seq, 300e6));
        assertEq(escrow.earningsOf(payee).previous, 0);
        assertEq(escrow.earningsOf(payee).current, 100e6);
    }

    function test_challengeOverclaim__unbondingStake__isTakenToo() public {
        Item memory item = _item(300e6, 400e6);
        _claim(item);
        vm.warp(block.timestamp + 2 * D);
        vm.prank(payee);
        registry.deregister();
        Claim memory claim = _claimOf(item, payer);
        _challenge(claim, _receiptOf(claim, claim.seq, 100e6));
        Provider memory left = registry.provider(payee);
        assertEq(left.stake, 0);
        assertEq(left.unbonding, MIN_STAKE - 400e6);
        assertEq(escrow.free(payer), 200e6);
    }

    function test_challengeOverclaim__nothingLeft__reverts() public {
        address poor = makeAddr("poor");
        _setOperator(poor, operator);
        _fund(payer, 10);
        _allot(payer, poor, 10);
        Item memory item = _blank(10, 10);
        item.payee = poor;
        item = _signed(item, payerKey, operatorKey);
        _claim(item);
        vm.warp(block.timestamp + 2 * D);
        Claim memory claim = _claimOf(item, payer);
        _expect(
            abi.encodeWithSelector(IEscrow.Escrow_NothingToSlash.selector),
            claim,
            _receiptOf(claim, claim.seq, 1),
            operatorKey
        );
    }

    /// @dev A pot of one unit cannot be halved: nothing goes back, the unit is burnt once as part of the floor.
    function test_challengeOverclaim__oneUnitAtStake__burnsIt() public {
        address poor = makeAddr("poor");
        _setOperator(poor, operator);
        _fund(payer, 1);
        _allot(payer, poor, 1);
        Item memory item = _blank(1, 10);
        item.payee = poor;
        item = _signed(item, payerKey, operatorKey);
        _claim(item);
        Claim memory claim = _claimOf(item, payer);
        _challenge(claim, _receiptOf(claim, claim.seq, 0));
        assertEq(escrow.free(payer), 0);
        assertEq(escrow.burnt(), 1);
    }

    /// @dev A payee that convicts itself gets back at most what it burns.
    function test_challengeOverclaim__ofOneself__costsHalf() public {
        _fund(payee, 1000e6);
        _allot(payee, payee, 1000e6);
        Item memory item = _blank(1000e6, 1000e6);
        item.payer = payee;
        (, uint256 payeeKey) = makeAddrAndKey("payee");
        item = _signed(item, payeeKey, operatorKey);
        _claim(item);
        Claim memory claim = _claimOf(item, payee);
        _challenge(claim, _receiptOf(claim, claim.seq, 0));
        assertEq(escrow.free(payee), 1000e6);
        assertEq(escrow.burnt() + registry.burnt(), 1000e6);
    }

    /// @dev The lane has moved to a newer generation: the older one's top was saved and convicts still, up to it.
    function test_challengeOverclaim__olderGeneration__usesItsTop() public {
        Item memory item = _item(300e6, 400e6);
        _claim(item);
        vm.prank(payee);
        escrow.bumpGeneration(payee);
        Item memory newer = _blank(900e6, 900e6);
        newer.generation = 2;
        _claim(_signed(newer, payerKey, operatorKey));
        item.cumulative = 700e6;
        Claim memory claim = _claimOf(item, payer);
        _challenge(claim, _receiptOf(claim, claim.seq, 200e6));
        assertEq(escrow.free(payer), 100e6);
    }

    // ----------------------------------------------------------------------------------------------------- helpers
    function challenge(Claim memory claim, SignedReceipt memory receipt) external {
        Signature memory claimSig = _sign(operatorKey, claim.hash());
        Signature memory receiptSig = _sign(operatorKey, receipt.hash());
        vm.prank(msg.sender);
        escrow.challengeOverclaim(claim, claimSig, receipt, receiptSig);
    }

    function _challenge(Claim memory claim, SignedReceipt memory receipt) private {
        this.challenge(claim, receipt);
    }

    function _expect(bytes memory reason, Claim memory claim, SignedReceipt memory receipt, uint256 key) private {
        Signature memory claimSig = _sign(operatorKey, claim.hash());
        Signature memory receiptSig = _sign(key, receipt.hash());
        vm.expectRevert(reason);
        escrow.challengeOverclaim(claim, claimSig, receipt, receiptSig);
    }
}
