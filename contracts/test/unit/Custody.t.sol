// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IEscrow, Item, PairState, Status} from "../../src/interfaces/IEscrow.sol";
import {Fixture} from "../base/Fixture.sol";

/// @notice The payer's side: every branch of `Custody.sol`, named as in `trees/`.
contract CustodyTest is Fixture {
    // ----------------------------------------------------------------------------------------------------- deposit
    function test_deposit__zeroAmount__reverts() public {
        vm.prank(payer);
        vm.expectRevert(IEscrow.Escrow_ZeroAmount.selector);
        escrow.deposit(0);
    }

    function test_deposit__supplyBeyondU128__reverts() public {
        _fund(payer, type(uint128).max);
        currency.mint(stranger, 1);
        vm.startPrank(stranger);
        currency.approve(address(escrow), 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_SupplyTooLarge.selector, uint256(1) << 128));
        escrow.deposit(1);
    }

    function test_deposit__enough__addsToFree() public {
        currency.mint(payer, 70);
        vm.startPrank(payer);
        currency.approve(address(escrow), 70);
        vm.expectEmit(address(escrow));
        emit IEscrow.Deposited(payer, payer, 30);
        escrow.deposit(30);
        escrow.deposit(40);
        assertEq(escrow.free(payer), 70);
        assertEq(currency.balanceOf(address(escrow)), 70);
    }

    function test_depositFor__zeroPayer__reverts() public {
        vm.expectRevert(IEscrow.Escrow_ZeroAddress.selector);
        escrow.depositFor(address(0), 1);
    }

    function test_depositFor__zeroAmount__reverts() public {
        vm.expectRevert(IEscrow.Escrow_ZeroAmount.selector);
        escrow.depositFor(payer, 0);
    }

    /// @dev P14: a stranger's dust changes a balance the payer gains from, and nothing else.
    function test_depositFor__stranger__addsToPayersFreeOnly() public {
        _openPair(100, 100);
        _thaw(payer, payee, 60);
        PairState memory before = escrow.pairs(payer, payee);
        currency.mint(stranger, 1);
        vm.startPrank(stranger);
        currency.approve(address(escrow), 1);
        vm.expectEmit(address(escrow));
        emit IEscrow.Deposited(payer, stranger, 1);
        escrow.depositFor(payer, 1);
        assertEq(escrow.free(payer), 1);
        assertEq(escrow.free(stranger), 0);
        assertEq(abi.encode(before), abi.encode(escrow.pairs(payer, payee)));
    }

    function test_depositWithPermit__valid__depositsWithoutApproval() public {
        currency.mint(payer, 50);
        (uint8 v, bytes32 r, bytes32 s) = _permit(50);
        vm.prank(payer);
        escrow.depositWithPermit(50, block.timestamp, v, r, s);
        assertEq(escrow.free(payer), 50);
    }

    function test_depositWithPermit__frontRun__deposits() public {
        currency.mint(payer, 50);
        (uint8 v, bytes32 r, bytes32 s) = _permit(50);
        vm.prank(stranger);
        currency.permit(payer, address(escrow), 50, block.timestamp, v, r, s);
        vm.prank(payer);
        escrow.depositWithPermit(50, block.timestamp, v, r, s);
        assertEq(escrow.free(payer), 50);
    }

    function test_depositWithPermit__badPermitNoAllowance__reverts() public {
        currency.mint(payer, 50);
        (uint8 v, bytes32 r, bytes32 s) = _permit(49);
        vm.prank(payer);
        vm.expectRevert();
        escrow.depositWithPermit(50, block.timestamp, v, r, s);
        assertEq(escrow.free(payer), 0);
    }

    // ------------------------------------------------------------------------------------------------------- allot
    function test_allot__lengthsDiffer__reverts() public {
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_LengthMismatch.selector, 1, 0));
        escrow.allot(_one(payee), new uint128[](0));
    }

    function test_allot__zeroPayee__reverts() public {
        _fund(payer, 10);
        vm.prank(payer);
        vm.expectRevert(IEscrow.Escrow_ZeroAddress.selector);
        escrow.allot(_one(address(0)), _one(uint128(1)));
    }

    function test_allot__zeroAmount__reverts() public {
        _fund(payer, 10);
        vm.prank(payer);
        vm.expectRevert(IEscrow.Escrow_ZeroAmount.selector);
        escrow.allot(_one(payee), _one(uint128(0)));
    }

    function test_allot__moreThanFree__reverts() public {
        _fund(payer, 10);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_Overdraw.selector, 11, 10));
        escrow.allot(_one(payee), _one(uint128(11)));
    }

    /// @dev P6: one deposit cannot be promised twice.
    function test_allot__twiceInOneCall__countsBoth() public {
        _fund(payer, 10);
        address[] memory payees = new address[](2);
        uint128[] memory amounts = new uint128[](2);
        (payees[0], payees[1], amounts[0], amounts[1]) = (payee, payee, 6, 5);
        vm.startPrank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_Overdraw.selector, 5, 4));
        escrow.allot(payees, amounts);
        amounts[1] = 4;
        vm.expectEmit(address(escrow));
        emit IEscrow.Allotted(payer, payee, 6, 6);
        vm.expectEmit(address(escrow));
        emit IEscrow.Allotted(payer, payee, 4, 10);
        escrow.allot(payees, amounts);
        assertEq(escrow.free(payer), 0);
        assertEq(escrow.pairs(payer, payee).allotted, 10);
        assertEq(escrow.cover(payer, payee), 10);
    }

    // -------------------------------------------------------------------------------------------------------- thaw
    function test_requestThaw__lengthsDiffer__reverts() public {
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_LengthMismatch.selector, 0, 1));
        escrow.requestThaw(new address[](0), _one(uint128(1)));
    }

    function test_requestThaw__moreThanUnclaimed__clamps() public {
        _openPair(100, 100);
        _claim(_item(30, 100));
        vm.expectEmit(address(escrow));
        emit IEscrow.ThawRequested(payer, payee, 0, 70, uint64(block.timestamp) + W);
        _thaw(payer, payee, 100);
        assertEq(escrow.pairs(payer, payee).thawing, 70);
        assertEq(escrow.cover(payer, payee), 30);
    }

    /// @dev P5: a larger thaw never runs under an older clock.
    function test_requestThaw__again__replacesAmountAndClock() public {
        _openPair(100, 100);
        _thaw(payer, payee, 10);
        vm.warp(block.timestamp + W - 1);
        vm.expectEmit(address(escrow));
        emit IEscrow.ThawRequested(payer, payee, 10, 90, uint64(block.timestamp) + W);
        _thaw(payer, payee, 90);
        PairState memory pair = escrow.pairs(payer, payee);
        assertEq(pair.thawing, 90);
        assertEq(pair.thawEnd, block.timestamp + W);
    }

    function test_requestThaw__zero__stopsTheThaw() public {
        _openPair(100, 100);
        _thaw(payer, payee, 10);
        vm.expectEmit(address(escrow));
        emit IEscrow.ThawRequested(payer, payee, 10, 0, 0);
        _thaw(payer, payee, 0);
        PairState memory pair = escrow.pairs(payer, payee);
        assertEq(pair.thawing, 0);
        assertEq(pair.thawEnd, 0);
    }

    function test_requestThaw__everythingClaimed__doesNotStopOtherRows() public {
        _openPair(100, 60);
        _allot(payer, stranger, 40);
        _claim(_item(60, 100));
        address[] memory payees = new address[](2);
        uint128[] memory amounts = new uint128[](2);
        (payees[0], payees[1], amounts[0], amounts[1]) = (payee, stranger, 60, 40);
        vm.prank(payer);
        escrow.requestThaw(payees, amounts);
        assertEq(escrow.pairs(payer, payee).thawing, 0);
        assertEq(escrow.pairs(payer, stranger).thawing, 40);
    }

    function test_cancelThaw__nothingThawing__reverts() public {
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NothingThawing.selector, payee));
        escrow.cancelThaw(_one(payee));
    }

    function test_cancelThaw__thawing__restoresCover() public {
        _openPair(100, 100);
        _thaw(payer, payee, 40);
        vm.expectEmit(address(escrow));
        emit IEscrow.ThawCancelled(payer, payee, 40);
        vm.prank(payer);
        escrow.cancelThaw(_one(payee));
        assertEq(escrow.cover(payer, payee), 100);
        assertEq(escrow.pairs(payer, payee).thawEnd, 0);
    }

    // ---------------------------------------------------------------------------------------------------- withdraw
    function test_withdraw__toZero__reverts() public {
        vm.expectRevert(IEscrow.Escrow_ZeroAddress.selector);
        escrow.withdraw(new address[](0), address(0));
    }

    function test_withdraw__nothingFree__reverts() public {
        vm.expectRevert(IEscrow.Escrow_NothingToWithdraw.selector);
        escrow.withdraw(new address[](0), stranger);
    }

    function test_withdraw__toTheEscrow__reverts() public {
        _fund(payer, 5);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_AmountMismatch.selector, 5, 0));
        escrow.withdraw(new address[](0), address(escrow));
    }

    function test_withdraw__unripe__skipsTheRow() public {
        _openPair(100, 90);
        _thaw(payer, payee, 90);
        vm.warp(block.timestamp + W - 1);
        _withdraw(payer, payee);
        assertEq(currency.balanceOf(payer), 10);
        assertEq(escrow.pairs(payer, payee).thawing, 90);
        vm.expectRevert(IEscrow.Escrow_NothingToWithdraw.selector);
        _withdraw(payer, payee);
    }

    function test_withdraw__notThawing__skipsTheRow() public {
        _openPair(100, 90);
        _withdraw(payer, payee);
        assertEq(currency.balanceOf(payer), 10);
        assertEq(escrow.pairs(payer, payee).allotted, 90);
    }

    /// @dev INV6, and the exit with the provider gone: two transactions, W apart.
    function test_withdraw__ripe__paysThawAndFree() public {
        _openPair(100, 90);
        _thaw(payer, payee, 50);
        vm.warp(block.timestamp + W);
        vm.expectEmit(address(escrow));
        emit IEscrow.ThawFinished(payer, payee, 50, 40);
        vm.expectEmit(address(escrow));
        emit IEscrow.Withdrawn(payer, stranger, 60);
        vm.prank(payer);
        escrow.withdraw(_one(payee), stranger);
        assertEq(currency.balanceOf(stranger), 60);
        PairState memory pair = escrow.pairs(payer, payee);
        assertEq(abi.encode(pair), abi.encode(PairState(40, 0, 0, 0)));
        assertEq(escrow.free(payer), 0);
    }

    /// @dev P5: thawing money stays claimable, up to the block of the withdrawal; the payer then gets what is left.
    function test_withdraw__claimedWhileThawing__paysTheRest() public {
        _openPair(100, 100);
        _thaw(payer, payee, 80);
        vm.warp(block.timestamp + W);
        assertTrue(_claim(_item(70, 100)) == Status.Paid);
        _withdraw(payer, payee);
        assertEq(currency.balanceOf(payer), 30);
        assertEq(abi.encode(escrow.pairs(payer, payee)), abi.encode(PairState(70, 70, 0, 0)));
    }

    function test_withdraw__everythingClaimed__reverts() public {
        _openPair(100, 100);
        _thaw(payer, payee, 80);
        vm.warp(block.timestamp + W);
        _claim(_item(100, 100));
        vm.expectRevert(IEscrow.Escrow_NothingToWithdraw.selector);
        _withdraw(payer, payee);
    }

    // ----------------------------------------------------------------------------------------------------- helpers
    function _openPair(uint128 deposit, uint128 allotted) private {
        _setOperator(payee, operator);
        _fund(payer, deposit);
        _allot(payer, payee, allotted);
    }

    function _permit(uint256 amount) private view returns (uint8 v, bytes32 r, bytes32 s) {
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash =
            keccak256(abi.encode(typeHash, payer, address(escrow), amount, currency.nonces(payer), block.timestamp));
        return vm.sign(payerKey, keccak256(abi.encodePacked(hex"1901", currency.DOMAIN_SEPARATOR(), structHash)));
    }
}
