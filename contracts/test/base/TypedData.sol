// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice Every signed message, hashed by hand, word by word: the second of the two encoders that share no code (the
/// other is eth-account's). It imports nothing of `src`, so that a mistake there cannot repeat itself here.
library TypedData {
    struct Voucher {
        address payer;
        address payee;
        uint32 generation;
        uint128 ceiling;
        bytes32 context;
    }

    function voucher(Voucher memory v) internal pure returns (bytes32) {
        bytes32 typeHash =
            keccak256("Voucher(address payer,address payee,uint32 generation,uint128 ceiling,bytes32 context)");
        return keccak256(abi.encode(typeHash, v.payer, v.payee, v.generation, v.ceiling, v.context));
    }

    function digest(bytes32 domain, bytes32 structHash) internal pure returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function separator(uint256 chainId, address escrow) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("wwwserve"),
                keccak256("1"),
                chainId,
                escrow
            )
        );
    }
}
