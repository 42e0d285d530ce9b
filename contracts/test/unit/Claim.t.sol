// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EarningsState, IEscrow, Item, LaneState, PairState, Signature, Status} from "../../src/interfaces/IEscrow.sol";
import {Fixture} from "../base/Fixture.sol";

/// @notice Settling and earning: every status of a row, every branch of `claim` and `collectEarnings`.
contract ClaimTest is Fixture {
    function setUp() public override {
        super.setUp();
        _setOperator(payee, operator);
        _fund(payer, 1000);
        _allot(payer, payee, 1000);
    }

    // ---------------------------------------------------------------------------------------------------- statuses
    function test_claim__tooLong__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_BatchTooLong.selector, 51, 50));
        escrow.claim(new Item[](51));
    }

    function test_claim__empty__doesNothing() public {
        assertEq(escrow.claim(new Item[](0)).length, 0);
    }

    function test_claim__valid__pays() public {
        Item memory item = _item(300, 400);
        vm.expectEmit(address(escrow));
        emit IEscrow.Settled(payer, payee, payer, 1, item.seq, 300, 400, 300, 300, item.count, item.receiptsRoot);
        vm.prank(stranger);
        assertTrue(_claim(item) == Status.Paid);
        assertEq(abi.encode(escrow.pairs(payer, payee)), abi.encode(PairState(1000, 300, 0, 0)));
        assertEq(abi.encode(escrow.laneState(payer, payee, payer)), abi.encode(LaneState(300, 1)));
        assertEq(escrow.earningsOf(payee).current, 300);
    }

    function test_claim__later__paysTheDifference() public {
        _claim(_item(300, 400));
        assertTrue(_claim(_item(350, 400)) == Status.Paid);
        assertEq(escrow.earningsOf(payee).current, 350);
        assertEq(escrow.laneState(payer, payee, payer).claimed, 350);
    }

    function test_claim__upToTheCeiling__pays() public {
        assertTrue(_claim(_item(400, 400)) == Status.Paid);
    }

    /// @dev P13: partial by construction, and the same claim again once there is cover.
    function test_claim__moreThanCover__paysPartThenTheRest() public {
        Item memory item = _item(1500, 1500);
        assertTrue(_claim(item) == Status.PaidPart);
        assertEq(escrow.laneState(payer, payee, payer).claimed, 1000);
        assertTrue(_claim(item) == Status.NoCover);
        _fund(payer, 500);
        _allot(payer, payee, 500);
        assertTrue(_claim(item) == Status.Paid);
        assertEq(escrow.earningsOf(payee).current, 1500);
        assertTrue(_claim(item) == Status.NothingNew);
    }

    /// @dev P1: a replay moves nothing, ever.
    function test_claim__replayed__isNothingNew() public {
        Item memory item = _item(300, 400);
        _claim(item);
        for (uint256 i = 0; i < 1000; ++i) {
            if (i % 100 == 0) vm.warp(block.timestamp + W);
            assertTrue(_claim(item) == Status.NothingNew);
        }
        assertEq(escrow.pairs(payer, payee).claimed, 300);
    }

    function test_claim__replayedAfterLeavingAndComingBack__isNothingNew() public {
        Item memory item = _item(300, 400);
        _claim(item);
        _thaw(payer, payee, 700);
        vm.warp(block.timestamp + W);
        _withdraw(payer, payee);
        _fund(payer, 500);
        _allot(payer, payee, 500);
        assertTrue(_claim(item) == Status.NothingNew);
        assertEq(escrow.pairs(payer, payee).claimed, 300);
    }

    function test_claim__unknownGeneration__isRefused() public {
        Item memory item = _blank(1, 1);
        item.generation = 2;
        assertTrue(_claim(_signed(item, payerKey, operatorKey)) == Status.UnknownGeneration);
        item.generation = 0;
        assertTrue(_claim(_signed(item, payerKey, operatorKey)) == Status.UnknownGeneration);
    }

    function test_claim__payeeZero__isRefused() public {
        Item memory item = _blank(1, 1);
        (item.payee, item.generation) = (address(0), 0);
        assertTrue(_claim(_signed(item, payerKey, operatorKey)) == Status.UnknownGeneration);
    }

    function test_claim__closedGeneration__paysForWThenNoMore() public {
        Item memory item = _item(300, 400);
        _setOperator(payee, signer);
        vm.warp(block.timestamp + W);
        assertTrue(_claim(item) == Status.Paid);
        vm.warp(block.timestamp + 1);
        assertTrue(_claim(_item(301, 400)) == Status.GenerationClosed);
    }

    /// @dev A leaked key claims nothing that was signed after the rotation.
    function test_claim__newGenerationOldKey__isRefused() public {
        _setOperator(payee, signer);
        Item memory item = _blank(300, 400);
        item.generation = 2;
        assertTrue(_claim(_signed(item, payerKey, operatorKey)) == Status.BadClaimSignature);
        assertTrue(_claim(_signed(item, payerKey, signerKey)) == Status.Paid);
    }

    function test_claim__olderGenerationThanTheLanes__isRefused() public {
        Item memory older = _item(900, 900);
        vm.prank(payee);
        escrow.bumpGeneration(payee);
        Item memory newer = _blank(500, 900);
        newer.generation = 2;
        assertTrue(_claim(_signed(newer, payerKey, operatorKey)) == Status.Paid);
        assertTrue(_claim(older) == Status.GenerationOlder);
        assertEq(escrow.laneState(payer, payee, payer).generation, 2);
    }

    function test_claim__nextGeneration__savesTheTop() public {
        _claim(_item(300, 400));
        _claim(_item(320, 400));
        vm.startPrank(payee);
        escrow.bumpGeneration(payee);
        escrow.bumpGeneration(payee);
        vm.stopPrank();
        Item memory newer = _blank(500, 900);
        newer.generation = 3;
        _claim(_signed(newer, payerKey, operatorKey));
        (uint128 top,) = escrow.laneGeneration(payer, payee, payer, 1);
        assertEq(top, 320);
        (top,) = escrow.laneGeneration(payer, payee, payer, 2);
        assertEq(top, 0);
        (top,) = escrow.laneGeneration(payer, payee, payer, 3);
        assertEq(top, 500);
    }

    function test_claim__seqBeyondSlack__isRefused() public {
        Item memory item = _blank(1, 1);
        item.seq = uint64((block.timestamp + 60) * 1e6) + 1;
        assertTrue(_claim(_signed(item, payerKey, operatorKey)) == Status.SeqInFuture);
        item.seq -= 1;
        assertTrue(_claim(_signed(item, payerKey, operatorKey)) == Status.Paid);
    }

    function test_claim__aboveCeiling__isRefused() public {
        assertTrue(_claim(_item(401, 400)) == Status.AboveCeiling);
    }

    function test_claim__unknownSigner__isRefused() public {
        assertTrue(_claim(_signed(_blank(1, 1), signerKey, operatorKey)) == Status.UnknownSigner);
    }

    function test_claim__signerOfAnotherPayer__isRefused() public {
        _authorize(stranger, signerKey, 100);
        assertTrue(_claim(_signed(_blank(1, 1), signerKey, operatorKey)) == Status.UnknownSigner);
    }

    function test_claim__malformedVoucher__isRefused() public {
        Item memory item = _item(1, 1);
        item.voucherSig = Signature(0, 0);
        assertTrue(_claim(item) == Status.UnknownSigner);
        item.payer = address(0);
        assertTrue(_claim(item) == Status.UnknownSigner);
    }

    function test_claim__furtherSigner__paysItsOwnLane() public {
        _authorize(payer, signerKey, 200);
        assertTrue(_claim(_item(100, 100)) == Status.Paid);
        assertTrue(_claim(_signed(_blank(150, 300), signerKey, operatorKey)) == Status.Paid);
        assertEq(escrow.laneState(payer, payee, payer).claimed, 100);
        assertEq(escrow.laneState(payer, payee, signer).claimed, 150);
        assertEq(escrow.pairs(payer, payee).claimed, 250);
    }

    function test_claim__aboveCap__isRefusedUntilRaised() public {
        _authorize(payer, signerKey, 200);
        Item memory item = _signed(_blank(201, 300), signerKey, operatorKey);
        assertTrue(_claim(item) == Status.AboveCap);
        assertTrue(_claim(_signed(_blank(200, 300), signerKey, operatorKey)) == Status.Paid);
        vm.prank(payer);
        escrow.raiseSignerCap(signer, 201);
        assertTrue(_claim(item) == Status.Paid);
    }

    /// @dev P11: thawing paper still pays, revoked paper does not.
    function test_claim__revokedSigner__isRefused() public {
        _authorize(payer, signerKey, 200);
        vm.startPrank(payer);
        escrow.thawSigner(signer);
        assertTrue(_claim(_signed(_blank(100, 300), signerKey, operatorKey)) == Status.Paid);
        vm.warp(block.timestamp + W);
        escrow.revokeSigner(signer);
        assertTrue(_claim(_signed(_blank(101, 300), signerKey, operatorKey)) == Status.SignerRevoked);
    }

    function test_claim__notTheOperator__isRefused() public {
        assertTrue(_claim(_signed(_blank(1, 1), payerKey, signerKey)) == Status.BadClaimSignature);
        Item memory item = _item(1, 1);
        item.claimSig = Signature(0, 0);
        assertTrue(_claim(item) == Status.BadClaimSignature);
    }

    /// @dev P13: 1 to 49 bad rows of every kind never stop the good ones.
    function test_claim__badRowsOfEveryKind__goodRowsPay() public {
        _authorize(stranger, signerKey, 1);
        for (uint256 bad = 1; bad < 50; ++bad) {
            Item[] memory items = new Item[](50);
            for (uint256 i = 0; i < 50; ++i) {
                items[i] = i < bad ? _badItem(i) : _item(uint128((bad - 1) * 20 + i - bad + 1), 1000);
            }
            uint128 before = escrow.earningsOf(payee).current;
            Status[] memory statuses = escrow.claim(items);
            for (uint256 i = 0; i < bad; ++i) {
                assertTrue(statuses[i] != Status.Paid && statuses[i] != Status.PaidPart);
            }
            assertTrue(statuses[49] == (escrow.earningsOf(payee).current > before ? Status.Paid : Status.NothingNew));
            assertEq(escrow.laneState(payer, payee, payer).claimed, escrow.earningsOf(payee).current);
        }
        assertEq(escrow.laneState(payer, payee, payer).claimed, 48 * 20 + 1);
    }

    /// @dev Rows of several payees, mixed: each is credited with its own.
    function test_claim__payeesMixed__eachEarnsItsOwn() public {
        _setOperator(stranger, operator);
        _fund(payer, 100);
        _allot(payer, stranger, 100);
        Item[] memory items = new Item[](4);
        (items[0], items[2]) = (_item(10, 10), _item(30, 30));
        for (uint256 i = 1; i < 4; i += 2) {
            Item memory other = _blank(uint128(i), 100);
            other.payee = stranger;
            items[i] = _signed(other, payerKey, operatorKey);
        }
        escrow.claim(items);
        assertEq(escrow.earningsOf(payee).current, 30);
        assertEq(escrow.earningsOf(stranger).current, 3);
    }

    /// @dev One payee, two generations, one batch: each row is judged by the operator of its own.
    function test_claim__generationsMixed__eachByItsOperator() public {
        Item[] memory items = new Item[](2);
        items[0] = _item(300, 400);
        _setOperator(payee, signer);
        items[1] = _blank(500, 900);
        items[1].generation = 2;
        items[1] = _signed(items[1], payerKey, signerKey);
        Status[] memory statuses = escrow.claim(items);
        assertTrue(statuses[0] == Status.Paid && statuses[1] == Status.Paid);
        assertEq(escrow.earningsOf(payee).current, 500);
    }

    // ----------------------------------------------------------------------------------------------------- preview
    function test_previewClaim__everyRowAlone__agreesWithClaim() public {
        _authorize(stranger, signerKey, 1);
        for (uint256 i = 0; i < 9; ++i) {
            Item memory item = i == 8 ? _item(1500, 2000) : _badItem(i);
            (Status[] memory statuses, address[] memory lanes, uint128[] memory paid) = escrow.previewClaim(_one(item));
            if (i == 8) assertEq(lanes[0], payer);
            assertEq(paid[0], i == 8 ? 1000 : 0);
            assertTrue(statuses[0] == _claim(item));
        }
    }

    function test_previewClaim__coverPartlyClaimed__showsWhatIsLeft() public {
        _claim(_item(300, 400));
        (Status[] memory statuses,, uint128[] memory paid) = escrow.previewClaim(_one(_item(1500, 2000)));
        assertTrue(statuses[0] == Status.PaidPart);
        assertEq(paid[0], 700);
    }

    function test_previewClaim__rowsOfOneLane__eachIsJudgedAlone() public view {
        Item[] memory items = new Item[](2);
        (items[0], items[1]) = (_item(100, 100), _item(150, 150));
        (,, uint128[] memory paid) = escrow.previewClaim(items);
        assertEq(paid[0], 100);
        assertEq(paid[1], 150);
    }

    // ---------------------------------------------------------------------------------------------------- earnings
    function test_collectEarnings__nothingReleased__reverts() public {
        _claim(_item(300, 400));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NothingReleased.selector, payee));
        escrow.collectEarnings(payee);
    }

    /// @dev What is earned in bucket b is released when bucket b + 2 begins, not a second earlier.
    function test_collectEarnings__bucketAfterNext__pays() public {
        vm.warp((block.timestamp / D + 1) * D - 1);
        uint256 release = (block.timestamp / D + 2) * D;
        _claim(_item(300, 400));
        vm.warp(release - 1);
        assertEq(escrow.earningsOf(payee).previous, 300);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NothingReleased.selector, payee));
        escrow.collectEarnings(payee);
        vm.warp(release);
        vm.expectEmit(address(escrow));
        emit IEscrow.EarningsCollected(payee, payee, 300);
        vm.prank(stranger);
        escrow.collectEarnings(payee);
        assertEq(currency.balanceOf(payee), 300);
        assertEq(escrow.earningsOf(payee).released, 0);
    }

    /// @dev P14: a stranger who submits dust claims moves no timer.
    function test_collectEarnings__laterClaims__doNotDelay() public {
        uint64 bucket = uint64(block.timestamp / D);
        vm.warp(bucket * D);
        _claim(_item(100, 1000));
        vm.warp((bucket + 1) * D);
        _claim(_item(110, 1000));
        vm.warp((bucket + 2) * D);
        _claim(_item(111, 1000));
        EarningsState memory state = escrow.earningsOf(payee);
        assertEq(abi.encode(state), abi.encode(EarningsState(100, 10, 1, bucket + 2)));
        escrow.collectEarnings(payee);
        assertEq(currency.balanceOf(payee), 100);
        vm.warp((bucket + 3) * D);
        escrow.collectEarnings(payee);
        assertEq(currency.balanceOf(payee), 110);
    }

    function test_collectEarnings__afterPayoutChange__paysTheNewAddress() public {
        _claim(_item(300, 400));
        vm.prank(payee);
        escrow.setPayout(stranger);
        vm.warp(block.timestamp + PAYOUT_DELAY);
        escrow.collectEarnings(payee);
        assertEq(currency.balanceOf(stranger), 300);
    }

    // ----------------------------------------------------------------------------------------------------- helpers
    function _badItem(uint256 kind) private view returns (Item memory item) {
        kind %= 8;
        item = _blank(1, 1);
        if (kind == 0) item.generation = 9;
        if (kind == 1) item.seq = type(uint64).max;
        if (kind == 2) item.cumulative = 2;
        if (kind == 3) item.payer = stranger;
        item = _signed(item, kind == 7 ? signerKey : payerKey, kind == 4 ? signerKey : operatorKey);
        if (kind == 5) item.voucherSig.r = 0;
        if (kind == 6) item.claimSig.vs = bytes32(uint256(1));
    }
}
