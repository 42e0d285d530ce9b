// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Item} from "../interfaces/IEscrow.sol";

/// @title Messages
/// @notice The signed messages a contract has to understand: field order, type hashes and struct hashes (EIP-712).
/// It knows no domain and checks no signature.
/// @dev Every string here is compared in the tests with the struct of the ABI and with `tests/vectors/eip712.json`:
/// a stray space or a forgotten field makes vouchers worthless (P3).

/// @notice The operator's statement of what a lane has run up, committing to all its receipts.
struct Claim {
    address payer;
    address payee;
    address lane;
    uint32 generation;
    uint64 seq;
    uint128 cumulative;
    bytes32 receiptsRoot;
    uint32 count;
}

/// @notice The operator's account of one answer, with the lane's running total after it.
struct Receipt {
    address payer;
    address payee;
    address lane;
    uint32 generation;
    uint64 seq;
    bytes32 requestId;
    bytes32 context;
    bytes32 requestHash;
    bytes32 responseHash;
    bytes32 answerHash;
    uint32 promptTokens;
    uint32 completionTokens;
    uint8 status;
    uint128 charge;
    uint128 cumulative;
}

/// @notice A further signer's agreement to sign for `payer`, and only for it, for ever.
struct SignerConsent {
    address payer;
    uint128 cap;
    uint64 deadline;
}

/// @notice The executor's word on one answer, signed by its operator key: the evidence of a duel.
struct Answer {
    address payer;
    address lane;
    uint32 generation;
    bytes32 requestId;
    bytes32 requestHash;
    bytes32 responseHash;
    bytes32 model;
    address executor;
    bytes32 nonceCommit;
}

library Messages {
    bytes32 internal constant VOUCHER_TYPEHASH =
        keccak256("Voucher(address payer,address payee,uint32 generation,uint128 ceiling,bytes32 context)");

    bytes32 internal constant CLAIM_TYPEHASH = keccak256(
        "Claim(address payer,address payee,address lane,uint32 generation,uint64 seq,uint128 cumulative,bytes32 receiptsRoot,uint32 count)"
    );

    bytes32 internal constant RECEIPT_TYPEHASH = keccak256(
        "Receipt(address payer,address payee,address lane,uint32 generation,uint64 seq,bytes32 requestId,bytes32 context,bytes32 requestHash,bytes32 responseHash,bytes32 answerHash,uint32 promptTokens,uint32 completionTokens,uint8 status,uint128 charge,uint128 cumulative)"
    );

    bytes32 internal constant SIGNER_CONSENT_TYPEHASH =
        keccak256("SignerConsent(address payer,uint128 cap,uint64 deadline)");

    bytes32 internal constant ANSWER_TYPEHASH = keccak256(
        "Answer(address payer,address lane,uint32 generation,bytes32 requestId,bytes32 requestHash,bytes32 responseHash,bytes32 model,address executor,bytes32 nonceCommit)"
    );

    /// @notice The voucher of a claim row: (payer, payee, generation) and (ceiling, context).
    /// @dev By hand, because 50 rows pay for it. Dirty upper bits cannot get in: the ABI decoder refused them when the row
    /// was copied to memory.
    function voucherHash(Item calldata item) internal pure returns (bytes32 digest) {
        bytes32 typeHash = VOUCHER_TYPEHASH;
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, typeHash)
            calldatacopy(add(m, 0x20), item, 0x60)
            calldatacopy(add(m, 0x80), add(item, 0xe0), 0x40)
            digest := keccak256(m, 0xc0)
        }
    }

    /// @notice The claim of a row of `lane`: (payer, payee), lane, (generation, seq, cumulative, receiptsRoot, count).
    function claimHash(Item calldata item, address lane) internal pure returns (bytes32 digest) {
        bytes32 typeHash = CLAIM_TYPEHASH;
        assembly ("memory-safe") {
            let m := mload(0x40)
            mstore(m, typeHash)
            calldatacopy(add(m, 0x20), item, 0x40)
            mstore(add(m, 0x60), lane)
            calldatacopy(add(m, 0x80), add(item, 0x40), 0xa0)
            digest := keccak256(m, 0x120)
        }
    }

    function hash(Claim memory c) internal pure returns (bytes32) {
        return keccak256(abi.encode(CLAIM_TYPEHASH, c));
    }

    /// @dev All members are static, so the ABI encoding of the struct is the concatenation EIP-712 asks for.
    function hash(Receipt memory r) internal pure returns (bytes32) {
        return keccak256(abi.encode(RECEIPT_TYPEHASH, r));
    }

    function hash(SignerConsent memory c) internal pure returns (bytes32) {
        return keccak256(abi.encode(SIGNER_CONSENT_TYPEHASH, c));
    }

    function hash(Answer memory a) internal pure returns (bytes32) {
        return keccak256(abi.encode(ANSWER_TYPEHASH, a));
    }
}
