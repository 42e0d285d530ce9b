// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Messages
/// @notice The signed messages a contract has to understand: field order, type hashes and struct hashes (EIP-712).
/// It knows no domain and checks no signature.
/// @dev Every string here is compared in the tests with the struct of the ABI and with `tests/vectors/eip712.json`:
/// a stray space or a forgotten field makes vouchers worthless (P3).

/// @notice A payer-signed ceiling: the lane signer agrees that its lane of this pair may be claimed up to `ceiling`.
struct Voucher {
    address payer;
    address payee;
    uint32 generation;
    uint128 ceiling;
    bytes32 context;
}

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

    function hash(Voucher memory v) internal pure returns (bytes32) {
        return keccak256(abi.encode(VOUCHER_TYPEHASH, v.payer, v.payee, v.generation, v.ceiling, v.context));
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
}
