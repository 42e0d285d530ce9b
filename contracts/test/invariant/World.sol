// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EarningsState, Item, Signature, Status} from "../../src/interfaces/IEscrow.sol";
import {Claim, Messages, Receipt as SignedReceipt, SignerConsent} from "../../src/libraries/Messages.sol";
import {Fixture} from "../base/Fixture.sol";
import {PlainToken} from "../base/Tokens.sol";

/// @notice Who lives in the invariant world, what they signed, and the ghost sums. It calls nothing by itself.
/// @dev Payer 2 is also payee 2: the pair (2, 2) deals with itself. Payee 1 has a dishonest operator, payee 0 an honest one.
abstract contract World is Fixture {
    using Messages for *;

    uint256 internal constant PAYERS = 3;
    uint256 internal constant PAYEES = 3;
    uint256 internal constant CHEAT = 1;
    uint128 internal constant MOST = 1_000_000e6;

    PlainToken internal token;
    address[PAYERS] internal payers;
    uint256[PAYERS] internal payerKeys;
    address[PAYEES] internal payees;
    uint256[PAYEES] internal operatorKeys;
    /// @dev Two lanes a payer: its own key, and one further signer.
    uint256[2][PAYERS] internal laneKeys;
    address[2][PAYERS] internal lanes;

    struct Book {
        uint128 charged;
        uint128 ceiling;
        uint128 lastClaimed;
        uint64 seq;
        Item[] items;
        SignedReceipt[] receipts;
        Signature[] receiptSigs;
    }

    mapping(address payer => mapping(address payee => mapping(address lane => Book))) internal books;
    uint256 internal donatedToEscrow;
    uint256 internal donatedToRegistry;
    uint256 internal paidToPayees;
    mapping(address payer => uint256) internal putIn;
    mapping(address payer => uint256) internal takenOut;
    mapping(address payer => uint256) internal givenBack;
    mapping(bytes32 what => uint256) public calls;

    function _populate(PlainToken token_) internal {
        token = token_;
        (escrow, registry) = _deploySet(address(token_));
        for (uint256 i = 0; i < PAYERS; ++i) {
            (payers[i], payerKeys[i]) = makeAddrAndKey(string.concat("payer ", vm.toString(i)));
            (, operatorKeys[i]) = makeAddrAndKey(string.concat("operator ", vm.toString(i)));
            payees[i] = i == 2 ? payers[i] : makeAddr(string.concat("payee ", vm.toString(i)));
            (, laneKeys[i][1]) = makeAddrAndKey(string.concat("signer ", vm.toString(i)));
            laneKeys[i][0] = payerKeys[i];
            lanes[i] = [payers[i], vm.addr(laneKeys[i][1])];
            _setOperator(payees[i], vm.addr(operatorKeys[i]));
            _authorize(payers[i], laneKeys[i][1], MOST);
            _approve(payers[i]);
            _approve(payees[i]);
        }
        _approve(stranger);
    }

    function _approve(address who) private {
        vm.startPrank(who);
        token.approve(address(escrow), type(uint256).max);
        token.approve(address(registry), type(uint256).max);
        vm.stopPrank();
    }

    // ------------------------------------------------------------------------------------------------------- signing
    /// @dev An item of a lane in the payee's current generation, properly signed.
    function _itemFor(uint256 payer_, uint256 payee_, uint256 lane, uint128 cumulative, uint128 ceiling)
        internal
        returns (Item memory item)
    {
        item.payer = payers[payer_];
        item.payee = payees[payee_];
        item.generation = escrow.payees(item.payee).generation;
        (item.cumulative, item.ceiling) = (cumulative, ceiling);
        Book storage book = books[item.payer][item.payee][lanes[payer_][lane]];
        book.seq = _later(book.seq);
        item.seq = book.seq;
        item.count = uint32(book.receipts.length);
        item.receiptsRoot = keccak256(abi.encode(item.seq, cumulative));
        if (ceiling > book.ceiling) book.ceiling = ceiling;
        item = _signed(item, laneKeys[payer_][lane], operatorKeys[payee_]);
    }

    function _later(uint64 seq) internal view returns (uint64) {
        uint64 now_ = uint64(block.timestamp * 1e6);
        return seq + 1 > now_ ? seq + 1 : now_;
    }

    function _claimSigned(Item memory item, uint256 payee_, address lane)
        internal
        view
        returns (Claim memory claim, Signature memory sig)
    {
        claim = _claimOf(item, lane);
        sig = _sign(operatorKeys[payee_], claim.hash());
    }

    // ---------------------------------------------------------------------------------------------------------- sums
    function _earned(address payee_) internal view returns (uint256) {
        EarningsState memory state = escrow.earningsOf(payee_);
        return uint256(state.released) + state.previous + state.current;
    }

    /// @dev Everything a stranger must not change, of everybody.
    function _victims() internal view returns (bytes32) {
        bytes memory all;
        for (uint256 i = 0; i < PAYERS; ++i) {
            all = bytes.concat(
                all,
                abi.encode(escrow.signerState(lanes[i][1]), escrow.payees(payees[i])),
                abi.encode(registry.provider(payees[i]), escrow.free(payers[i]), _earned(payees[i]))
            );
            for (uint256 j = 0; j < PAYEES; ++j) {
                all = bytes.concat(all, abi.encode(escrow.pairs(payers[i], payees[j])));
            }
        }
        return keccak256(all);
    }
}
