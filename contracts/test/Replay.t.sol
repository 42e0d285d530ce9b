// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IEscrow, Item, Signature, Status} from "../src/interfaces/IEscrow.sol";
import {Claim, Messages, Receipt as SignedReceipt, SignerConsent} from "../src/libraries/Messages.sol";
import {Fixture} from "./base/Fixture.sol";
import {TypedData} from "./base/TypedData.sol";

/// @notice P1 to P4: no signature is good for anything but what it says, where it says, once.
contract ReplayTest is Fixture {
    using Messages for *;

    uint256 private constant FIELDS = 9;

    function setUp() public override {
        super.setUp();
        _setOperator(payee, operator);
        _setOperator(stranger, operator);
        _fund(payer, 10_000);
        _allot(payer, payee, 5000);
        _allot(payer, stranger, 5000);
        _authorize(payer, signerKey, 5000);
    }

    /// @dev P3: every field of both messages is signed, on both sides.
    function test_claim__anyFieldChanged__isRefused() public {
        for (uint256 field = 0; field < FIELDS; ++field) {
            Item memory item = _changed(_item(100, 200), field);
            assertTrue(_claim(item) != Status.Paid, vm.toString(field));
        }
        assertTrue(_claim(_item(100, 200)) == Status.Paid);
    }

    function testFuzz_claim__anyBitOfASignatureFlipped__isRefused(uint8 bit, uint8 which) public {
        Item memory item = _item(100, 200);
        bytes32 mask = bytes32(uint256(1) << bit);
        if (which % 4 == 0) item.voucherSig.r ^= mask;
        if (which % 4 == 1) item.voucherSig.vs ^= mask;
        if (which % 4 == 2) item.claimSig.r ^= mask;
        if (which % 4 == 3) item.claimSig.vs ^= mask;
        Status status = _claim(item);
        assertTrue(status == Status.UnknownSigner || status == Status.BadClaimSignature);
    }

    /// @dev P2: the live chain id. After a fork with another id nothing signed before is good.
    function test_claim__chainIdChanged__isRefused() public {
        Item memory item = _item(100, 200);
        vm.chainId(31_338);
        assertTrue(_claim(item) == Status.UnknownSigner);
        vm.chainId(31_337);
        assertTrue(_claim(item) == Status.Paid);
    }

    function test_claim__ofAnotherEscrow__isRefused() public {
        Item memory item = _item(100, 200);
        IEscrow first = escrow;
        (escrow,) = _deploySet(address(currency));
        _setOperator(payee, operator);
        _fund(payer, 1000);
        _allot(payer, payee, 1000);
        assertTrue(_claim(item) == Status.UnknownSigner);
        assertTrue(first.claim(_one(item))[0] == Status.Paid);
    }

    /// @dev P2: every signature tried as every other message that a contract takes.
    function test_signatures__asOtherMessages__areRefused() public {
        Item memory item = _item(100, 200);
        Signature[4] memory payers = [
            item.voucherSig,
            _sign(payerKey, _claimOf(item, payer).hash()),
            _sign(payerKey, _receiptOf(_claimOf(item, payer), item.seq, 100).hash()),
            _sign(payerKey, SignerConsent(payer, 200, uint64(block.timestamp)).hash())
        ];
        Signature[4] memory operators = [
            item.claimSig,
            _sign(operatorKey, _voucherHash(item)),
            _sign(operatorKey, _receiptOf(_claimOf(item, payer), item.seq, 100).hash()),
            _sign(operatorKey, SignerConsent(payer, 200, uint64(block.timestamp)).hash())
        ];
        for (uint256 i = 0; i < 4; ++i) {
            for (uint256 j = 0; j < 4; ++j) {
                if (i == 0 && j == 0) continue;
                (item.voucherSig, item.claimSig) = (payers[i], operators[j]);
                assertTrue(_claim(item) != Status.Paid);
            }
        }
    }

    function test_challenge__claimAsReceipt__isRefused() public {
        Item memory item = _item(300, 400);
        _claim(item);
        Claim memory claim = _claimOf(item, payer);
        SignedReceipt memory receipt = _receiptOf(claim, claim.seq, 100);
        vm.expectPartialRevert(IEscrow.Escrow_NotSignedByOperator.selector);
        escrow.challengeOverclaim(claim, item.claimSig, receipt, item.claimSig);
    }

    function test_consent__voucherAsConsent__isRefused() public {
        Item memory item = _item(100, 200);
        item.payer = stranger;
        vm.expectPartialRevert(IEscrow.Escrow_BadConsent.selector);
        vm.prank(stranger);
        escrow.authorizeSigner(payer, 200, uint64(block.timestamp), item.voucherSig);
    }

    /// @dev P4: what a payer signs cannot send the allotment of one payee to another, whoever that is.
    function test_claim__payeeExchanged__isRefused() public {
        Item memory item = _item(100, 200);
        item.payee = stranger;
        assertTrue(_claim(item) == Status.UnknownSigner);
        item.claimSig = _sign(operatorKey, _claimOf(item, payer).hash());
        assertTrue(_claim(item) == Status.UnknownSigner);
        assertEq(escrow.pairs(payer, payee).claimed, 0);
        assertEq(escrow.pairs(payer, stranger).claimed, 0);
    }

    /// @dev P12: the payer stands in the voucher, so one key that signs for two payers cannot have its paper moved.
    function test_claim__payerExchanged__isRefused() public {
        _fund(signer, 1000);
        _allot(signer, payee, 1000);
        Item memory item = _signed(_blank(100, 200), signerKey, operatorKey);
        item.payer = signer;
        assertTrue(_claim(item) == Status.UnknownSigner);
        item.payer = payer;
        assertTrue(_claim(item) == Status.Paid);
    }

    /// @dev P17: two claims of one voucher, in one batch or in two.
    function test_claim__twiceInOneBatch__paysOnce() public {
        Item[] memory items = new Item[](2);
        (items[0], items[1]) = (_item(100, 200), _item(100, 200));
        Status[] memory statuses = escrow.claim(items);
        assertTrue(statuses[0] == Status.Paid && statuses[1] == Status.NothingNew);
        assertEq(escrow.earningsOf(payee).current, 100);
    }

    function _changed(Item memory item, uint256 field) private pure returns (Item memory) {
        if (field == 0) item.payer = address(uint160(item.payer) ^ 1);
        if (field == 1) item.payee = address(uint160(item.payee) ^ 1);
        if (field == 2) item.generation ^= 1;
        if (field == 3) item.seq ^= 1;
        if (field == 4) item.cumulative ^= 1;
        if (field == 5) item.receiptsRoot ^= bytes32(uint256(1));
        if (field == 6) item.count ^= 1;
        if (field == 7) item.ceiling ^= 1;
        if (field == 8) item.context ^= bytes32(uint256(1));
        return item;
    }

    function _voucherHash(Item memory item) private pure returns (bytes32) {
        return TypedData.voucher(TypedData.Voucher(item.payer, item.payee, item.generation, item.ceiling, item.context));
    }
}
