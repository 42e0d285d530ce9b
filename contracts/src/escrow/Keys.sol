// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";

import {GenerationState, IEscrow, PayeeState, Signature, SignerState} from "../interfaces/IEscrow.sol";
import {Messages, SignerConsent} from "../libraries/Messages.sol";
import {Windows} from "./Windows.sol";

/// @title Keys
/// @notice Who may sign for whom: a payer's further signers, a payee's operator key by generation, its payout address.
/// It holds no money.
abstract contract Keys is Windows, EIP712 {
    using Messages for SignerConsent;

    // ------------------------------------------------------------------------------------------------------------ types
    struct Payee {
        PayeeState keys;
        mapping(uint32 generation => GenerationState) generations;
    }

    // -------------------------------------------------------------------------------------------------------- constants
    /// @dev Seconds between two bumps by an operator key, so that a stolen one cannot exhaust generations.
    uint64 private constant OPERATOR_BUMP_SECONDS = 1 hours;

    // ---------------------------------------------------------------------------------------------------------- storage
    mapping(address signer => SignerState) internal _signers;
    mapping(address payee => Payee) internal _payees;

    // ================================================================================================ a payer's signers
    /// @inheritdoc IEscrow
    function authorizeSigner(address signer, uint128 cap, uint64 deadline, Signature calldata consent) external {
        require(signer != address(0), Escrow_ZeroAddress());
        require(signer != msg.sender, Escrow_SignerIsPayer());
        SignerState storage state = _signers[signer];
        // One payer for ever: what it signed for one payer must never bind another (P12).
        require(state.payer == address(0), Escrow_SignerTaken(signer, state.payer));
        require(block.timestamp <= deadline, Escrow_ConsentExpired(deadline));
        bytes32 digest = SignerConsent({payer: msg.sender, cap: cap, deadline: deadline}).hash();
        address recovered = _recover(_domainSeparatorV4(), digest, consent);
        require(recovered == signer, Escrow_BadConsent(recovered));
        (state.payer, state.cap) = (msg.sender, cap);
        emit SignerAuthorized(msg.sender, signer, cap);
    }

    /// @inheritdoc IEscrow
    function raiseSignerCap(address signer, uint128 newCap) external {
        SignerState storage state = _ownSigner(signer);
        require(state.thawEnd == 0, Escrow_SignerThawing(signer, state.thawEnd));
        require(newCap > state.cap, Escrow_CapNotRaised(state.cap, newCap));
        emit SignerCapRaised(msg.sender, signer, state.cap, newCap);
        state.cap = newCap;
    }

    /// @inheritdoc IEscrow
    function thawSigner(address signer) external {
        SignerState storage state = _ownSigner(signer);
        require(state.thawEnd == 0, Escrow_SignerThawing(signer, state.thawEnd));
        state.thawEnd = _now() + thawSeconds;
        emit SignerThawing(msg.sender, signer, state.thawEnd);
    }

    /// @inheritdoc IEscrow
    function revokeSigner(address signer) external {
        SignerState storage state = _ownSigner(signer);
        require(!state.revoked, Escrow_SignerRevoked(signer));
        // A payee that relied on the signer has the whole window to claim (P11).
        require(state.thawEnd != 0 && _now() >= state.thawEnd, Escrow_SignerNotThawed(signer, state.thawEnd));
        state.revoked = true;
        emit SignerRevoked(msg.sender, signer);
    }

    // ========================================================================================================== a payee
    /// @inheritdoc IEscrow
    function setOperator(address operator) external {
        require(operator != address(0), Escrow_ZeroAddress());
        PayeeState storage keys = _payees[msg.sender].keys;
        address oldOperator = keys.operator;
        (keys.operator, keys.operatorBumpAt) = (operator, 0);
        uint32 generation = _openGeneration(msg.sender, operator);
        emit OperatorSet(msg.sender, operator, oldOperator, generation);
    }

    /// @inheritdoc IEscrow
    function bumpGeneration(address payee) external {
        PayeeState storage keys = _payees[payee].keys;
        address operator = keys.operator;
        require(operator != address(0), Escrow_NoOperator(payee));
        if (msg.sender != payee) {
            require(msg.sender == operator, Escrow_NotPayeeOrOperator(payee, msg.sender));
            require(_now() >= keys.operatorBumpAt, Escrow_BumpTooSoon(keys.operatorBumpAt));
            keys.operatorBumpAt = _now() + OPERATOR_BUMP_SECONDS;
        }
        uint32 generation = _openGeneration(payee, operator);
        emit GenerationBumped(payee, msg.sender, generation - 1, generation);
    }

    /// @inheritdoc IEscrow
    function setPayout(address newPayout) external {
        require(newPayout != address(0), Escrow_ZeroAddress());
        PayeeState storage keys = _payees[msg.sender].keys;
        keys.payout = _payoutOf(msg.sender);
        keys.nextPayout = newPayout;
        keys.payoutAt = _now() + payoutDelaySeconds;
        emit PayoutRequested(msg.sender, keys.payout, newPayout, keys.payoutAt);
    }

    // ============================================================================================================ views
    /// @inheritdoc IEscrow
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IEscrow
    function signerState(address signer) external view returns (SignerState memory) {
        return _signers[signer];
    }

    /// @inheritdoc IEscrow
    function payees(address payee) external view returns (PayeeState memory state) {
        state = _payees[payee].keys;
        state.payout = _payoutOf(payee);
        if (_now() >= state.payoutAt) (state.nextPayout, state.payoutAt) = (address(0), 0);
    }

    /// @inheritdoc IEscrow
    function generationState(address payee, uint32 generation) external view returns (GenerationState memory) {
        return _payees[payee].generations[generation];
    }

    /// @inheritdoc IEscrow
    function operatorOf(address payee, uint32 generation) external view returns (address) {
        return _payees[payee].generations[generation].operator;
    }

    // ======================================================================================================== internals
    function _openGeneration(address payee, address operator) private returns (uint32 generation) {
        Payee storage state = _payees[payee];
        if (state.keys.generation != 0) state.generations[state.keys.generation].closedAt = _now();
        generation = ++state.keys.generation;
        state.generations[generation].operator = operator;
    }

    /// @dev 0 for a malformed signature; every caller compares with an address that is not 0. The 64-byte form has no room
    /// for the larger s, so a signature has one encoding; and nothing is keyed by a signature anyway.
    function _recover(bytes32 domain, bytes32 structHash, Signature calldata sig) internal view returns (address) {
        return ECDSA.tryRecover(MessageHashUtils.toTypedDataHash(domain, structHash), sig.r, sig.vs);
    }

    function _ownSigner(address signer) private view returns (SignerState storage state) {
        state = _signers[signer];
        require(state.payer == msg.sender, Escrow_NotSignersPayer(signer, msg.sender));
    }

    function _payoutOf(address payee) internal view returns (address payout) {
        PayeeState storage keys = _payees[payee].keys;
        payout = keys.payoutAt != 0 && _now() >= keys.payoutAt ? keys.nextPayout : keys.payout;
        if (payout == address(0)) payout = payee;
    }
}
