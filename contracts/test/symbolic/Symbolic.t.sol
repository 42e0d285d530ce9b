// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {Escrow} from "../../src/Escrow.sol";
import {EarningsState, EscrowTimes, Item, PairState, Signature, Status} from "../../src/interfaces/IEscrow.sol";
import {Earnings} from "../../src/libraries/Earnings.sol";

/// @notice Proofs for every input (halmos). Signatures are uninterpreted: whoever `ecrecover` says, the sums must hold.
contract SymbolicTest is Test {
    using Earnings for EarningsState;

    address private constant PAYER = address(0xA11CE);
    address private constant OTHER = address(0x07E8);
    address private constant PAYEE = address(0xB0B);
    address private constant OPERATOR = address(0x09E8);
    uint64 private constant W = 1 days;

    Escrow private escrow;
    EarningsState private earnings;

    function setUp() public {
        vm.warp(1_800_000_000);
        SymbolicCurrency currency = new SymbolicCurrency();
        escrow = new Escrow(address(currency), address(0x4E6), address(0), EscrowTimes(W, W, W));
        vm.prank(PAYEE);
        escrow.setOperator(OPERATOR);
    }

    /// @dev INV2, INV3: one claim of any numbers pays at most min(cumulative, ceiling, cover), and only the recovered lane.
    function check_claim__anyRow__paysAtMostItsCeilingAndCover(Item memory item, uint128 allotted, uint128 others)
        public
    {
        vm.assume(allotted != 0 && others != 0);
        vm.assume(uint256(allotted) + others <= type(uint128).max);
        _open(PAYER, allotted);
        _open(OTHER, others);
        (item.payer, item.payee, item.generation) = (PAYER, PAYEE, 1);
        Item[] memory items = new Item[](1);
        items[0] = item;
        Status status = escrow.claim(items)[0];
        PairState memory pair = escrow.pairs(PAYER, PAYEE);
        assert(pair.claimed <= item.cumulative);
        assert(pair.claimed == 0 || item.cumulative <= item.ceiling);
        assert(pair.claimed <= pair.allotted && pair.allotted == allotted);
        assert((pair.claimed != 0) == (status == Status.Paid || status == Status.PaidPart));
        assert(status != Status.Paid || pair.claimed == item.cumulative);
        assert(escrow.earningsOf(PAYEE).current == pair.claimed);
        assert(escrow.pairs(OTHER, PAYEE).claimed == 0 && escrow.free(OTHER) == 0);
    }

    /// @dev INV4: a row that names a payer whose key did not sign, and which has authorised nobody, moves nothing.
    function check_claim__foreignSigner__movesNothing(Item memory item, uint128 allotted) public {
        vm.assume(allotted != 0);
        _open(PAYER, allotted);
        (item.payer, item.payee, item.generation) = (PAYER, PAYEE, 1);
        Item[] memory items = new Item[](1);
        items[0] = item;
        (, address[] memory lanes,) = escrow.previewClaim(items);
        vm.assume(lanes[0] != PAYER);
        escrow.claim(items);
        assert(escrow.pairs(PAYER, PAYEE).claimed == 0);
    }

    /// @dev INV6: what thaws is at most what is unclaimed, and it moves at thawEnd and not before.
    function check_thaw__anyAmounts__movesOnTime(uint128 allotted, uint128 amount, uint64 wait) public {
        vm.assume(allotted != 0 && wait <= 2 * W);
        _open(PAYER, allotted);
        address[] memory payees = new address[](1);
        uint128[] memory amounts = new uint128[](1);
        (payees[0], amounts[0]) = (PAYEE, amount);
        vm.prank(PAYER);
        escrow.requestThaw(payees, amounts);
        PairState memory pair = escrow.pairs(PAYER, PAYEE);
        assert(pair.thawing == (amount < allotted ? amount : allotted));
        assert(escrow.cover(PAYER, PAYEE) == allotted - pair.thawing);
        vm.warp(block.timestamp + wait);
        vm.prank(PAYER);
        (bool ok,) = address(escrow).call(abi.encodeCall(escrow.withdraw, (payees, PAYER)));
        assert(ok == (wait >= W && amount != 0));
        pair = escrow.pairs(PAYER, PAYEE);
        assert(pair.allotted == (ok ? allotted - (amount < allotted ? amount : allotted) : allotted));
    }

    /// @dev The roll conserves, only ever releases, and releases bucket b in bucket b + 2 exactly.
    function check_earnings__anyRoll__conserves(uint64 bucket, uint64 later, uint120 a, uint120 b, uint120 c) public {
        vm.assume(later >= bucket && bucket < type(uint64).max);
        earnings = EarningsState(a, b, c, bucket);
        EarningsState memory rolled = earnings.rolledTo(later);
        assert(uint256(rolled.released) + rolled.previous + rolled.current == uint256(a) + b + c);
        uint64 passed = later - bucket;
        assert(rolled.released == (passed == 0 ? a : passed == 1 ? uint256(a) + b : uint256(a) + b + c));
        assert(rolled.previous == (passed == 0 ? b : passed == 1 ? c : 0));
        assert(rolled.bucket == later);
    }

    /// @dev Slashing takes exactly what is asked, older bucket first, and never from what is released.
    function check_earnings__anyTake__takesTheOlderFirst(uint120 a, uint120 b, uint120 c, uint128 amount) public pure {
        vm.assume(amount <= uint256(b) + c);
        EarningsState memory state = EarningsState(a, b, c, 7);
        state.take(amount);
        assert(state.released == a);
        assert(uint256(state.previous) + state.current + amount == uint256(b) + c);
        assert(state.previous == 0 || state.current == c);
    }

    function _open(address payer, uint128 amount) private {
        address[] memory payees = new address[](1);
        uint128[] memory amounts = new uint128[](1);
        (payees[0], amounts[0]) = (PAYEE, amount);
        vm.startPrank(payer);
        escrow.deposit(amount);
        escrow.allot(payees, amounts);
        vm.stopPrank();
    }
}

/// @notice Counts balances of the two contracts only: everybody else is rich.
contract SymbolicCurrency {
    mapping(address account => uint256) public balanceOf;

    function transferFrom(address, address to, uint256 amount) external returns (bool) {
        balanceOf[to] += amount;
        return true;
    }

    function transfer(address, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        return true;
    }
}
