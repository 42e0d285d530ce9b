// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {GenerationState, IEscrow, PayeeState, Signature, SignerState} from "../../src/interfaces/IEscrow.sol";
import {Messages, SignerConsent} from "../../src/libraries/Messages.sol";
import {Fixture} from "../base/Fixture.sol";

/// @notice Signers and payees: every branch of `Keys.sol`, named as in `trees/`.
contract KeysTest is Fixture {
    using Messages for SignerConsent;

    // --------------------------------------------------------------------------------------------- authorizeSigner
    function test_authorizeSigner__zeroSigner__reverts() public {
        vm.expectRevert(IEscrow.Escrow_ZeroAddress.selector);
        escrow.authorizeSigner(address(0), 1, 0, Signature(0, 0));
    }

    function test_authorizeSigner__payerItself__reverts() public {
        vm.prank(payer);
        vm.expectRevert(IEscrow.Escrow_SignerIsPayer.selector);
        escrow.authorizeSigner(payer, 1, 0, Signature(0, 0));
    }

    /// @dev P12: one payer for ever, also after revocation.
    function test_authorizeSigner__taken__reverts() public {
        _authorize(payer, signerKey, 10);
        Signature memory consent = _consent(stranger, 10, uint64(block.timestamp));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_SignerTaken.selector, signer, payer));
        vm.prank(stranger);
        escrow.authorizeSigner(signer, 10, uint64(block.timestamp), consent);
        _revoke();
        consent = _consent(payer, 10, uint64(block.timestamp));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_SignerTaken.selector, signer, payer));
        vm.prank(payer);
        escrow.authorizeSigner(signer, 10, uint64(block.timestamp), consent);
    }

    function test_authorizeSigner__expired__reverts() public {
        uint64 deadline = uint64(block.timestamp) - 1;
        Signature memory consent = _consent(payer, 10, deadline);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_ConsentExpired.selector, deadline));
        escrow.authorizeSigner(signer, 10, deadline, consent);
    }

    function test_authorizeSigner__otherFields__reverts() public {
        uint64 deadline = uint64(block.timestamp);
        Signature memory consent = _consent(payer, 10, deadline);
        vm.prank(payer);
        vm.expectPartialRevert(IEscrow.Escrow_BadConsent.selector);
        escrow.authorizeSigner(signer, 11, deadline, consent);
        vm.prank(payer);
        vm.expectPartialRevert(IEscrow.Escrow_BadConsent.selector);
        escrow.authorizeSigner(signer, 10, deadline + 1, consent);
        vm.prank(stranger);
        vm.expectPartialRevert(IEscrow.Escrow_BadConsent.selector);
        escrow.authorizeSigner(signer, 10, deadline, consent);
    }

    function test_authorizeSigner__malformedSignature__reverts() public {
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_BadConsent.selector, address(0)));
        escrow.authorizeSigner(signer, 10, uint64(block.timestamp), Signature(0, bytes32(uint256(1))));
    }

    function test_authorizeSigner__valid__binds() public {
        uint64 deadline = uint64(block.timestamp);
        Signature memory consent = _consent(payer, 10, deadline);
        vm.expectEmit(address(escrow));
        emit IEscrow.SignerAuthorized(payer, signer, 10);
        vm.prank(payer);
        escrow.authorizeSigner(signer, 10, deadline, consent);
        assertEq(abi.encode(escrow.signerState(signer)), abi.encode(SignerState(payer, 0, false, 10)));
    }

    // ---------------------------------------------------------------------------------------------- raiseSignerCap
    function test_raiseSignerCap__notOwn__reverts() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotSignersPayer.selector, signer, stranger));
        escrow.raiseSignerCap(signer, 10);
    }

    function test_raiseSignerCap__thawing__reverts() public {
        _authorize(payer, signerKey, 10);
        vm.startPrank(payer);
        escrow.thawSigner(signer);
        uint64 end = uint64(block.timestamp) + W;
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_SignerThawing.selector, signer, end));
        escrow.raiseSignerCap(signer, 11);
    }

    function test_raiseSignerCap__notHigher__reverts() public {
        _authorize(payer, signerKey, 10);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_CapNotRaised.selector, 10, 10));
        escrow.raiseSignerCap(signer, 10);
    }

    function test_raiseSignerCap__higher__raises() public {
        _authorize(payer, signerKey, 10);
        vm.expectEmit(address(escrow));
        emit IEscrow.SignerCapRaised(payer, signer, 10, 11);
        vm.prank(payer);
        escrow.raiseSignerCap(signer, 11);
        assertEq(escrow.signerState(signer).cap, 11);
    }

    // ------------------------------------------------------------------------------------------------- thaw, revoke
    function test_thawSigner__notOwn__reverts() public {
        _authorize(payer, signerKey, 10);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotSignersPayer.selector, signer, stranger));
        escrow.thawSigner(signer);
    }

    function test_thawSigner__again__reverts() public {
        _authorize(payer, signerKey, 10);
        vm.startPrank(payer);
        escrow.thawSigner(signer);
        uint64 end = uint64(block.timestamp) + W;
        vm.warp(block.timestamp + 5);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_SignerThawing.selector, signer, end));
        escrow.thawSigner(signer);
    }

    function test_thawSigner__live__startsTheClock() public {
        _authorize(payer, signerKey, 10);
        vm.expectEmit(address(escrow));
        emit IEscrow.SignerThawing(payer, signer, uint64(block.timestamp) + W);
        vm.prank(payer);
        escrow.thawSigner(signer);
        assertEq(escrow.signerState(signer).thawEnd, block.timestamp + W);
    }

    function test_revokeSigner__notOwn__reverts() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotSignersPayer.selector, signer, stranger));
        escrow.revokeSigner(signer);
    }

    function test_revokeSigner__notThawing__reverts() public {
        _authorize(payer, signerKey, 10);
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_SignerNotThawed.selector, signer, 0));
        escrow.revokeSigner(signer);
    }

    function test_revokeSigner__beforeThawEnd__reverts() public {
        _authorize(payer, signerKey, 10);
        vm.startPrank(payer);
        escrow.thawSigner(signer);
        uint64 end = uint64(block.timestamp) + W;
        vm.warp(end - 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_SignerNotThawed.selector, signer, end));
        escrow.revokeSigner(signer);
    }

    function test_revokeSigner__thawed__revokes() public {
        _authorize(payer, signerKey, 10);
        vm.startPrank(payer);
        escrow.thawSigner(signer);
        vm.warp(block.timestamp + W);
        vm.expectEmit(address(escrow));
        emit IEscrow.SignerRevoked(payer, signer);
        escrow.revokeSigner(signer);
        assertTrue(escrow.signerState(signer).revoked);
    }

    function test_revokeSigner__again__reverts() public {
        _authorize(payer, signerKey, 10);
        _revoke();
        vm.prank(payer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_SignerRevoked.selector, signer));
        escrow.revokeSigner(signer);
    }

    // ------------------------------------------------------------------------------------------------- setOperator
    function test_setOperator__zero__reverts() public {
        vm.expectRevert(IEscrow.Escrow_ZeroAddress.selector);
        escrow.setOperator(address(0));
    }

    function test_setOperator__first__opensGenerationOne() public {
        vm.expectEmit(address(escrow));
        emit IEscrow.OperatorSet(payee, operator, address(0), 1);
        _setOperator(payee, operator);
        PayeeState memory state = escrow.payees(payee);
        assertEq(abi.encode(state), abi.encode(PayeeState(operator, 1, 0, payee, address(0), 0)));
        assertEq(escrow.operatorOf(payee, 1), operator);
        assertEq(abi.encode(escrow.generationState(payee, 0)), abi.encode(GenerationState(address(0), 0, false)));
    }

    function test_setOperator__next__closesTheOldGeneration() public {
        _setOperator(payee, operator);
        vm.warp(block.timestamp + 100);
        vm.expectEmit(address(escrow));
        emit IEscrow.OperatorSet(payee, signer, operator, 2);
        _setOperator(payee, signer);
        GenerationState memory old = escrow.generationState(payee, 1);
        assertEq(abi.encode(old), abi.encode(GenerationState(operator, uint64(block.timestamp), false)));
        assertEq(abi.encode(escrow.generationState(payee, 2)), abi.encode(GenerationState(signer, 0, false)));
    }

    // ---------------------------------------------------------------------------------------------- bumpGeneration
    function test_bumpGeneration__noOperator__reverts() public {
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NoOperator.selector, payee));
        escrow.bumpGeneration(payee);
    }

    /// @dev INV5: a stranger never changes another's generation.
    function test_bumpGeneration__stranger__reverts() public {
        _setOperator(payee, operator);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotPayeeOrOperator.selector, payee, stranger));
        escrow.bumpGeneration(payee);
    }

    function test_bumpGeneration__operatorWithinAnHour__reverts() public {
        _setOperator(payee, operator);
        vm.startPrank(operator);
        vm.expectEmit(address(escrow));
        emit IEscrow.GenerationBumped(payee, operator, 1, 2);
        escrow.bumpGeneration(payee);
        uint64 next = uint64(block.timestamp) + 1 hours;
        assertEq(escrow.payees(payee).operatorBumpAt, next);
        vm.warp(next - 1);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_BumpTooSoon.selector, next));
        escrow.bumpGeneration(payee);
        vm.warp(next);
        escrow.bumpGeneration(payee);
        assertEq(escrow.payees(payee).generation, 3);
    }

    function test_bumpGeneration__payee__isNeverLimited() public {
        _setOperator(payee, operator);
        vm.prank(operator);
        escrow.bumpGeneration(payee);
        vm.startPrank(payee);
        escrow.bumpGeneration(payee);
        vm.expectEmit(address(escrow));
        emit IEscrow.GenerationBumped(payee, payee, 3, 4);
        escrow.bumpGeneration(payee);
        assertEq(escrow.operatorOf(payee, 4), operator);
        assertEq(escrow.generationState(payee, 3).closedAt, block.timestamp);
    }

    function test_bumpGeneration__newOperator__hasItsOwnHour() public {
        _setOperator(payee, operator);
        vm.prank(operator);
        escrow.bumpGeneration(payee);
        _setOperator(payee, signer);
        vm.prank(signer);
        escrow.bumpGeneration(payee);
        assertEq(escrow.payees(payee).generation, 4);
    }

    // --------------------------------------------------------------------------------------------------- setPayout
    function test_setPayout__zero__reverts() public {
        vm.expectRevert(IEscrow.Escrow_ZeroAddress.selector);
        escrow.setPayout(address(0));
    }

    function test_setPayout__first__takesOverAfterTheDelay() public {
        uint64 dueAt = uint64(block.timestamp) + PAYOUT_DELAY;
        vm.expectEmit(address(escrow));
        emit IEscrow.PayoutRequested(payee, payee, stranger, dueAt);
        vm.prank(payee);
        escrow.setPayout(stranger);
        vm.warp(dueAt - 1);
        _assertPayout(payee, stranger, dueAt);
        vm.warp(dueAt);
        _assertPayout(stranger, address(0), 0);
    }

    function test_setPayout__pending__isReplacedAndTheClockRestarts() public {
        vm.startPrank(payee);
        escrow.setPayout(stranger);
        vm.warp(block.timestamp + PAYOUT_DELAY - 1);
        escrow.setPayout(signer);
        vm.warp(block.timestamp + PAYOUT_DELAY - 1);
        _assertPayout(payee, signer, uint64(block.timestamp) + 1);
        vm.warp(block.timestamp + 1);
        _assertPayout(signer, address(0), 0);
        vm.expectEmit(address(escrow));
        emit IEscrow.PayoutRequested(payee, signer, operator, uint64(block.timestamp) + PAYOUT_DELAY);
        escrow.setPayout(operator);
        _assertPayout(signer, operator, uint64(block.timestamp) + PAYOUT_DELAY);
    }

    // ----------------------------------------------------------------------------------------------------- helpers
    function _assertPayout(address now_, address next, uint64 dueAt) private view {
        PayeeState memory state = escrow.payees(payee);
        assertEq(abi.encode(state.payout, state.nextPayout, state.payoutAt), abi.encode(now_, next, dueAt));
    }

    function _consent(address payer_, uint128 cap, uint64 deadline) private view returns (Signature memory) {
        return _sign(signerKey, SignerConsent(payer_, cap, deadline).hash());
    }

    function _revoke() private {
        vm.startPrank(payer);
        escrow.thawSigner(signer);
        vm.warp(block.timestamp + W);
        escrow.revokeSigner(signer);
        vm.stopPrank();
    }
}
