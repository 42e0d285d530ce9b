// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {DevCurrency} from "../../src/DevCurrency.sol";
import {EscrowTimes, IEscrow, Item, Signature, Status} from "../../src/interfaces/IEscrow.sol";
import {IRegistry, RegistryTimes} from "../../src/interfaces/IRegistry.sol";
import {Claim, Messages, Receipt as SignedReceipt, SignerConsent} from "../../src/libraries/Messages.sol";

import {TypedData} from "./TypedData.sol";

/// @notice A deployment set on the development chain, its actors, and one helper a call.
abstract contract Fixture is Test {
    using Messages for *;

    uint64 internal constant W = 1 days;
    uint64 internal constant D = 1 days;
    uint64 internal constant PAYOUT_DELAY = 2 days;
    uint64 internal constant DISPUTE = 1 days;
    uint64 internal constant APPEAL = 1 days;
    uint64 internal constant UNBONDING = 7 days;
    uint128 internal constant MIN_STAKE = 1000e6;
    uint128 internal constant FLOOR = MIN_STAKE / 20;

    DevCurrency internal currency;
    IEscrow internal escrow;
    IRegistry internal registry;
    address internal duels = makeAddr("duels");

    address internal payer;
    uint256 internal payerKey;
    address internal payee = makeAddr("payee");
    address internal operator;
    uint256 internal operatorKey;
    address internal signer;
    uint256 internal signerKey;
    address internal stranger = makeAddr("stranger");

    function setUp() public virtual {
        vm.chainId(31_337);
        vm.warp(1_800_000_000);
        (payer, payerKey) = makeAddrAndKey("payer");
        (operator, operatorKey) = makeAddrAndKey("operator");
        (signer, signerKey) = makeAddrAndKey("signer");
        currency = new DevCurrency();
        (escrow, registry) = _deploySet(address(currency));
    }

    function _deploySet(address currency_) internal returns (IEscrow escrow_, IRegistry registry_) {
        address predicted = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        bytes memory arguments = abi.encode(currency_, predicted, duels, EscrowTimes(W, D, PAYOUT_DELAY));
        escrow_ = IEscrow(deployCode("Escrow.sol:Escrow", arguments));
        arguments = abi.encode(escrow_, MIN_STAKE, RegistryTimes(UNBONDING, DISPUTE, APPEAL));
        registry_ = IRegistry(deployCode("Registry.sol:Registry", arguments));
    }

    // ---------------------------------------------------------------------------------------------------- one call each
    function _fund(address who, uint128 amount) internal {
        currency.mint(who, amount);
        vm.startPrank(who);
        currency.approve(address(escrow), amount);
        escrow.deposit(amount);
        vm.stopPrank();
    }

    function _allot(address from, address to, uint128 amount) internal {
        vm.prank(from);
        escrow.allot(_one(to), _one(amount));
    }

    function _thaw(address from, address to, uint128 amount) internal {
        vm.prank(from);
        escrow.requestThaw(_one(to), _one(amount));
    }

    function _withdraw(address from, address payee_) internal {
        vm.prank(from);
        escrow.withdraw(_one(payee_), from);
    }

    function _setOperator(address payee_, address operator_) internal {
        vm.prank(payee_);
        escrow.setOperator(operator_);
    }

    function _authorize(address payer_, uint256 key, uint128 cap) internal {
        uint64 deadline = uint64(block.timestamp);
        Signature memory consent = _sign(key, SignerConsent(payer_, cap, deadline).hash());
        vm.prank(payer_);
        escrow.authorizeSigner(vm.addr(key), cap, deadline, consent);
    }

    function _register(address who, uint128 stake) internal {
        currency.mint(who, stake);
        vm.startPrank(who);
        currency.approve(address(registry), stake);
        registry.register("https://node.example", keccak256("offer"), stake);
        vm.stopPrank();
    }

    function _claim(Item memory item) internal returns (Status) {
        return escrow.claim(_one(item))[0];
    }

    // ----------------------------------------------------------------------------------------------------- signed things
    function _sign(uint256 key, bytes32 structHash) internal view returns (Signature memory) {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", escrow.domainSeparator(), structHash));
        (bytes32 r, bytes32 vs) = vm.signCompact(key, digest);
        return Signature(r, vs);
    }

    /// @dev A valid row of the default pair in generation 1, signed by the payer itself.
    function _item(uint128 cumulative, uint128 ceiling) internal view returns (Item memory) {
        return _signed(_blank(cumulative, ceiling), payerKey, operatorKey);
    }

    function _blank(uint128 cumulative, uint128 ceiling) internal view returns (Item memory item) {
        (item.payer, item.payee, item.generation) = (payer, payee, 1);
        (item.ceiling, item.cumulative) = (ceiling, cumulative);
        item.context = keccak256("terms");
        item.seq = uint64(block.timestamp * 1e6);
        item.count = 7;
        item.receiptsRoot = keccak256("root");
    }

    function _signed(Item memory item, uint256 laneKey, uint256 operatorKey_) internal view returns (Item memory) {
        bytes32 voucherHash =
            TypedData.voucher(TypedData.Voucher(item.payer, item.payee, item.generation, item.ceiling, item.context));
        item.voucherSig = _sign(laneKey, voucherHash);
        item.claimSig = _sign(operatorKey_, _claimOf(item, vm.addr(laneKey)).hash());
        return item;
    }

    function _claimOf(Item memory item, address lane) internal pure returns (Claim memory) {
        return Claim({
            payer: item.payer,
            payee: item.payee,
            lane: lane,
            generation: item.generation,
            seq: item.seq,
            cumulative: item.cumulative,
            receiptsRoot: item.receiptsRoot,
            count: item.count
        });
    }

    function _receiptOf(Claim memory claim, uint64 seq, uint128 cumulative)
        internal
        pure
        returns (SignedReceipt memory r)
    {
        (r.payer, r.payee, r.lane, r.generation) = (claim.payer, claim.payee, claim.lane, claim.generation);
        (r.seq, r.cumulative) = (seq, cumulative);
        r.requestId = keccak256("request");
        r.status = 1;
    }

    // ---------------------------------------------------------------------------------------------------- arrays of one
    function _one(address a) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = a;
    }

    function _one(uint128 a) internal pure returns (uint128[] memory list) {
        list = new uint128[](1);
        list[0] = a;
    }

    function _one(Item memory a) internal pure returns (Item[] memory list) {
        list = new Item[](1);
        list[0] = a;
    }
}
