// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {EarningsState, IEscrow, Item} from "../src/interfaces/IEscrow.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {Claim, Messages, Receipt as SignedReceipt} from "../src/libraries/Messages.sol";
import {Fixture} from "./base/Fixture.sol";
import {
    BlacklistToken,
    FalseToken,
    FeeToken,
    NoReturnToken,
    PlainToken,
    ReentrantToken,
    SurchargeToken
} from "./base/Tokens.sol";

/// @notice The zoo: what each kind of currency does to the escrow, and to nobody else's money.
contract TokensTest is Fixture {
    using Messages for *;

    function test_tokens__noReturn__worksThroughout() public {
        NoReturnToken token = new NoReturnToken();
        (escrow, registry) = _deploySet(address(token));
        token.mint(payer, 100);
        vm.prank(payer);
        escrow.deposit(100);
        _earn(60);
        vm.warp(block.timestamp + 2 * D);
        escrow.collectEarnings(payee);
        assertEq(token.balanceOf(payee), 60);
    }

    /// @dev A currency without permit: the attempt fails quietly, the allowance decides.
    function test_tokens__withoutPermit__depositsByAllowance() public {
        NoReturnToken token = new NoReturnToken();
        (escrow,) = _deploySet(address(token));
        token.mint(payer, 100);
        vm.prank(payer);
        escrow.depositWithPermit(100, block.timestamp, 27, 0, 0);
        assertEq(escrow.free(payer), 100);
    }

    function test_tokens__feeOnTransfer__isRefused() public {
        PlainToken token = _swap(new FeeToken());
        token.mint(payer, 1000);
        _approveAll(token, payer);
        vm.startPrank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_AmountMismatch.selector, 1000, 990));
        escrow.deposit(1000);
        uint128 arrived = MIN_STAKE - MIN_STAKE / 100;
        token.mint(payer, MIN_STAKE);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_AmountMismatch.selector, MIN_STAKE, arrived));
        registry.register("https://x.example", 0, MIN_STAKE);
    }

    /// @dev Otherwise the surcharge would be paid by the other payers.
    function test_tokens__surchargeOnSending__cannotLeave() public {
        PlainToken token = _swap(new SurchargeToken());
        token.mint(payer, 100);
        token.mint(stranger, 100);
        _approveAll(token, payer);
        _approveAll(token, stranger);
        vm.prank(stranger);
        escrow.deposit(100);
        vm.startPrank(payer);
        escrow.deposit(100);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_AmountMismatch.selector, 100, 101));
        escrow.withdraw(new address[](0), payer);
    }

    function test_tokens__returnsFalse__isRefused() public {
        PlainToken token = _swap(new FalseToken());
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(token)));
        escrow.deposit(1);
    }

    /// @dev A blacklisted payout stops its own payee alone, until it names another.
    function test_tokens__blacklistedPayout__stopsOnlyItself() public {
        BlacklistToken token = BlacklistToken(address(_swap(new BlacklistToken())));
        token.mint(payer, 100);
        _approveAll(token, payer);
        vm.prank(payer);
        escrow.deposit(100);
        _earn(60);
        token.blacklist(payee);
        vm.warp(block.timestamp + 2 * D);
        vm.expectRevert(abi.encodeWithSelector(BlacklistToken.Blacklisted.selector, payee));
        escrow.collectEarnings(payee);
        vm.prank(payee);
        escrow.setPayout(stranger);
        vm.warp(block.timestamp + PAYOUT_DELAY);
        escrow.collectEarnings(payee);
        assertEq(token.balanceOf(stranger), 60);
        _withdraw(payer, payee);
        assertEq(token.balanceOf(payer), 30);
    }

    /// @dev Every function that moves the currency refuses to be entered again; the others see finished books.
    function test_tokens__reentrant__movesNothingTwice() public {
        ReentrantToken token = ReentrantToken(address(_swap(new ReentrantToken())));
        token.mint(payer, 100);
        _approveAll(token, payer);
        bytes[4] memory calls = [
            abi.encodeCall(IEscrow.deposit, (1)),
            abi.encodeCall(IEscrow.depositFor, (payer, 1)),
            abi.encodeCall(IEscrow.withdraw, (new address[](0), address(token))),
            abi.encodeCall(IEscrow.collectEarnings, (payee))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            token.onTransfer(address(escrow), calls[i]);
            vm.prank(payer);
            escrow.deposit(10);
            assertFalse(token.succeeded());
            assertEq(bytes4(token.answer()), ReentrancyGuard.ReentrancyGuardReentrantCall.selector);
        }
        token.onTransfer(address(escrow), abi.encodeCall(IEscrow.withdraw, (new address[](0), address(token))));
        _withdraw(payer, payee);
        assertFalse(token.succeeded());
        assertEq(token.balanceOf(payer), 100);
    }

    function test_tokens__reentrantPermitAndChallenge__areRefused() public {
        ReentrantToken token = ReentrantToken(address(_swap(new ReentrantToken())));
        token.mint(payer, 100);
        _approveAll(token, payer);
        token.onTransfer(address(escrow), abi.encodeCall(IEscrow.depositWithPermit, (1, 0, 0, 0, 0)));
        vm.prank(payer);
        escrow.deposit(90);
        assertEq(bytes4(token.answer()), ReentrancyGuard.ReentrancyGuardReentrantCall.selector);
        Item memory item = _earn(60);
        Claim memory claim = _claimOf(item, payer);
        SignedReceipt memory receipt = _receiptOf(claim, claim.seq, 1);
        bytes memory call = abi.encodeCall(
            IEscrow.challengeOverclaim, (claim, item.claimSig, receipt, _sign(operatorKey, receipt.hash()))
        );
        token.onTransfer(address(escrow), call);
        vm.prank(payer);
        escrow.deposit(10);
        assertEq(bytes4(token.answer()), ReentrancyGuard.ReentrancyGuardReentrantCall.selector);
        (bool ok,) = address(escrow).call(call);
        assertTrue(ok);
    }

    function test_tokens__reentrantRegistry__movesNothingTwice() public {
        ReentrantToken token = ReentrantToken(address(_swap(new ReentrantToken())));
        token.mint(payer, 10 * MIN_STAKE);
        _approveAll(token, payer);
        bytes memory guard = abi.encodeWithSelector(ReentrancyGuard.ReentrancyGuardReentrantCall.selector);
        token.onTransfer(address(registry), abi.encodeCall(IRegistry.register, ("x", 0, MIN_STAKE)));
        vm.startPrank(payer);
        registry.register("https://x.example", 0, MIN_STAKE);
        assertEq(token.answer(), guard);
        token.onTransfer(address(registry), abi.encodeCall(IRegistry.withdrawStake, (payer)));
        registry.addStake(5);
        assertEq(token.answer(), guard);
        token.onTransfer(address(registry), abi.encodeCall(IRegistry.addStake, (5)));
        registry.addStake(5);
        assertEq(token.answer(), guard);
        token.onTransfer(address(registry), abi.encodeCall(IRegistry.slash, (payer, 1, 1)));
        registry.addStake(5);
        assertEq(token.answer(), guard);
        vm.stopPrank();
        assertEq(registry.slashable(payer), MIN_STAKE + 15);
    }

    /// @dev What the registry takes is what arrives here, or the conviction does not happen.
    function test_tokens__slashedStakeShort__reverts() public {
        _setOperator(payee, operator);
        _register(payee, MIN_STAKE);
        _fund(payer, 100e6);
        _allot(payer, payee, 100e6);
        Item memory item = _item(100e6, 100e6);
        _claim(item);
        vm.warp(block.timestamp + 2 * D);
        Claim memory claim = _claimOf(item, payer);
        SignedReceipt memory receipt = _receiptOf(claim, claim.seq, 0);
        bytes memory receiptSig = abi.encode(_sign(operatorKey, receipt.hash()));
        vm.mockCall(address(registry), abi.encodeWithSelector(IRegistry.slash.selector), abi.encode(0, 0));
        bytes memory call = bytes.concat(
            IEscrow.challengeOverclaim.selector,
            abi.encode(claim),
            abi.encode(item.claimSig),
            abi.encode(receipt),
            receiptSig
        );
        (bool ok, bytes memory reason) = address(escrow).call(call);
        assertFalse(ok);
        assertEq(reason, abi.encodeWithSelector(IEscrow.Escrow_AmountMismatch.selector, 100e6, 0));
    }

    /// @dev Donations change no books.
    function test_tokens__donation__isNobodys() public {
        _fund(payer, 10);
        currency.mint(address(escrow), 1000);
        _withdraw(payer, payee);
        assertEq(currency.balanceOf(payer), 10);
        EarningsState memory none = escrow.earningsOf(payee);
        assertEq(none.released + none.previous + none.current, 0);
    }

    // ----------------------------------------------------------------------------------------------------- helpers
    function _swap(PlainToken token) private returns (PlainToken) {
        (escrow, registry) = _deploySet(address(token));
        return token;
    }

    function _approveAll(PlainToken token, address who) private {
        vm.startPrank(who);
        token.approve(address(escrow), type(uint256).max);
        token.approve(address(registry), type(uint256).max);
        vm.stopPrank();
    }

    /// @dev Allots 70 of a deposit of 100 (or 90) and earns `amount` of it.
    function _earn(uint128 amount) private returns (Item memory item) {
        _setOperator(payee, operator);
        _allot(payer, payee, 70);
        item = _item(amount, 100);
        _claim(item);
    }
}
