// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EarningsState, Item, PairState, Signature, Status} from "../src/interfaces/IEscrow.sol";
import {Provider} from "../src/interfaces/IRegistry.sol";
import {Claim, Messages, Receipt as SignedReceipt, SignerConsent} from "../src/libraries/Messages.sol";
import {Fixture} from "./base/Fixture.sol";

/// @notice Every function with every argument: full width amounts, any times. 10,000 runs each in the deep profile.
contract FuzzTest is Fixture {
    using Messages for *;

    function setUp() public override {
        super.setUp();
        _setOperator(payee, operator);
    }

    function testFuzz_deposit__anyAmount__isFree(uint128 amount) public {
        amount = uint128(bound(amount, 1, type(uint128).max));
        _fund(payer, amount);
        assertEq(escrow.free(payer), amount);
        _withdraw(payer, payee);
        assertEq(currency.balanceOf(payer), amount);
    }

    function testFuzz_depositFor__anyPayer__gains(address whom, uint128 amount) public {
        vm.assume(whom != address(0));
        amount = uint128(bound(amount, 1, type(uint128).max));
        currency.mint(stranger, amount);
        vm.startPrank(stranger);
        currency.approve(address(escrow), amount);
        escrow.depositFor(whom, amount);
        assertEq(escrow.free(whom), amount);
    }

    /// @dev The permit's signature is any bytes at all: with an allowance the deposit goes through.
    function testFuzz_depositWithPermit__anyPermit__countsTheAllowance(
        uint128 amount,
        uint256 deadline,
        uint8 v,
        bytes32 r,
        bytes32 s
    ) public {
        amount = uint128(bound(amount, 1, type(uint128).max));
        currency.mint(payer, amount);
        vm.startPrank(payer);
        currency.approve(address(escrow), amount);
        escrow.depositWithPermit(amount, deadline, v, r, s);
        assertEq(escrow.free(payer), amount);
    }

    function testFuzz_allot__anySplit__keepsTheSum(uint128 total, uint128 first, address other) public {
        vm.assume(other != address(0) && other != payee);
        total = uint128(bound(total, 2, type(uint128).max));
        first = uint128(bound(first, 1, total - 1));
        _fund(payer, total);
        _allot(payer, payee, first);
        _allot(payer, other, total - first);
        assertEq(escrow.free(payer), 0);
        assertEq(escrow.pairs(payer, payee).allotted + escrow.pairs(payer, other).allotted, total);
    }

    /// @dev INV6 in numbers: allotted, claimed before, thawed, claimed meanwhile, and when.
    function testFuzz_thaw__anyOrder__paysMinOfThawingAndUnclaimed(
        uint128 allotted,
        uint128 before,
        uint128 thawing,
        uint128 meanwhile,
        uint64 wait
    ) public {
        allotted = uint128(bound(allotted, 1, type(uint128).max));
        before = uint128(bound(before, 0, allotted));
        meanwhile = uint128(bound(meanwhile, before, allotted));
        wait = uint64(bound(wait, 0, 3 * W));
        _fund(payer, allotted);
        _allot(payer, payee, allotted);
        if (before != 0) _claim(_item(before, before));
        _thaw(payer, payee, thawing);
        assertEq(escrow.cover(payer, payee), allotted - _least(thawing, allotted - before));
        if (meanwhile > before) _claim(_item(meanwhile, meanwhile));
        vm.warp(block.timestamp + wait);
        uint128 due = wait < W ? 0 : _least(_least(thawing, allotted - before), allotted - meanwhile);
        if (due == 0) return;
        _withdraw(payer, payee);
        assertEq(currency.balanceOf(payer), due);
        assertEq(escrow.pairs(payer, payee).allotted, allotted - due);
    }

    function testFuzz_cancelThaw__anyAmount__restoresCover(uint128 allotted, uint128 thawing) public {
        allotted = uint128(bound(allotted, 1, type(uint128).max));
        thawing = uint128(bound(thawing, 1, type(uint128).max));
        _fund(payer, allotted);
        _allot(payer, payee, allotted);
        _thaw(payer, payee, thawing);
        vm.prank(payer);
        escrow.cancelThaw(_one(payee));
        assertEq(escrow.cover(payer, payee), allotted);
    }

    /// @dev INV2 and INV3 in numbers, and that preview and claim agree on any row.
    function testFuzz_claim__anyNumbers__neverAboveCeilingCoverOrCap(
        uint128 allotted,
        uint128 cumulative,
        uint128 ceiling,
        uint128 cap,
        uint64 seq,
        bool further
    ) public {
        allotted = uint128(bound(allotted, 1, type(uint128).max));
        _fund(payer, allotted);
        _allot(payer, payee, allotted);
        _authorize(payer, signerKey, cap);
        Item memory item = _blank(cumulative, ceiling);
        item.seq = seq;
        item = _signed(item, further ? signerKey : payerKey, operatorKey);
        (Status[] memory expected,, uint128[] memory paid) = escrow.previewClaim(_one(item));
        assertTrue(_claim(item) == expected[0]);
        uint128 claimed = escrow.laneState(payer, payee, further ? signer : payer).claimed;
        assertEq(claimed, paid[0]);
        bool good = cumulative != 0 && cumulative <= ceiling && (!further || cumulative <= cap)
            && seq <= (block.timestamp + 60) * 1e6;
        assertEq(claimed, good ? _least(cumulative, allotted) : 0);
        assertEq(escrow.earningsOf(payee).current, claimed);
        assertTrue(_claim(item) != Status.Paid);
    }

    /// @dev INV8 for three claims of one lane in any order: the highest counts.
    function testFuzz_claim__anyOrder__highestCounts(uint64 a, uint64 b, uint64 c) public {
        _fund(payer, type(uint128).max);
        _allot(payer, payee, type(uint128).max);
        Item[] memory items = new Item[](3);
        (items[0], items[1], items[2]) = (_item(a, a), _item(b, b), _item(c, c));
        escrow.claim(items);
        uint64 highest = a > b ? a : b;
        assertEq(escrow.earningsOf(payee).current, highest > c ? highest : c);
    }

    /// @dev The bucket roll against its definition: what was earned in bucket b is released from (b + 2) D on.
    function testFuzz_earnings__anyTimes__areReleasedByBucket(uint64[4] memory waits, uint32[4] memory amounts) public {
        _fund(payer, type(uint128).max);
        _allot(payer, payee, type(uint128).max);
        uint256[4] memory buckets;
        uint128 total = 0;
        for (uint256 i = 0; i < 4; ++i) {
            vm.warp(block.timestamp + bound(waits[i], 0, 3 * D));
            uint128 amount = uint128(bound(amounts[i], 1, type(uint32).max));
            amounts[i] = uint32(amount);
            total += amount;
            _claim(_item(total, total));
            buckets[i] = block.timestamp / D;
            EarningsState memory state = escrow.earningsOf(payee);
            uint256 released = 0;
            for (uint256 j = 0; j <= i; ++j) {
                if (buckets[j] + 2 <= block.timestamp / D) released += amounts[j];
            }
            assertEq(state.released, released);
            assertEq(uint256(state.released) + state.previous + state.current, total);
        }
        vm.warp(block.timestamp + 2 * D);
        escrow.collectEarnings(payee);
        assertEq(currency.balanceOf(payee), total);
    }

    /// @dev INV10 in numbers: a conviction conserves, returns at most half and the excess, and burns at least as much.
    function testFuzz_challenge__anyNumbers__conserves(uint96 claimed, uint96 owed, uint96 stake, uint64 wait) public {
        claimed = uint96(bound(claimed, 1, type(uint96).max));
        owed = uint96(bound(owed, 0, claimed - 1));
        uint128 bond = MIN_STAKE + stake;
        _register(payee, bond);
        _fund(payer, claimed);
        _allot(payer, payee, claimed);
        Item memory item = _item(claimed, claimed);
        _claim(item);
        vm.warp(block.timestamp + bound(wait, 0, 3 * D));
        EarningsState memory held = escrow.earningsOf(payee);
        uint256 pot = uint256(held.previous) + held.current + bond;
        _convict(item, owed);
        uint256 returned = escrow.free(payer);
        uint256 burnt = escrow.burnt() + registry.burnt();
        held = escrow.earningsOf(payee);
        assertEq(pot - held.previous - held.current - registry.slashable(payee), returned + burnt);
        assertEq(returned, claimed - owed < pot / 2 ? claimed - owed : pot / 2);
        assertGe(burnt, returned);
        assertTrue(burnt >= FLOOR || burnt + returned == pot);
        assertEq(currency.balanceOf(address(escrow)) + currency.balanceOf(address(registry)), uint256(claimed) + bond);
    }

    function testFuzz_authorizeSigner__anyConsent__bindsOnce(uint128 cap, uint64 wait, uint256 key) public {
        key = boundPrivateKey(key);
        vm.assume(vm.addr(key) != payer);
        uint64 deadline = uint64(block.timestamp) + wait / 2;
        Signature memory consent = _sign(key, SignerConsent(payer, cap, deadline).hash());
        vm.prank(payer);
        escrow.authorizeSigner(vm.addr(key), cap, deadline, consent);
        assertEq(escrow.signerState(vm.addr(key)).cap, cap);
        vm.prank(payer);
        vm.expectRevert();
        escrow.authorizeSigner(vm.addr(key), cap, deadline, consent);
    }

    function testFuzz_signerLife__anyTimes__revokesAfterW(uint64 wait, uint128 cap, uint128 more) public {
        cap = uint128(bound(cap, 0, type(uint128).max - 1));
        more = uint128(bound(more, cap + 1, type(uint128).max));
        wait = uint64(bound(wait, 0, 2 * W));
        _authorize(payer, signerKey, cap);
        vm.startPrank(payer);
        escrow.raiseSignerCap(signer, more);
        escrow.thawSigner(signer);
        vm.warp(block.timestamp + wait);
        if (wait < W) vm.expectRevert();
        escrow.revokeSigner(signer);
        assertEq(escrow.signerState(signer).revoked, wait >= W);
    }

    function testFuzz_generations__anyNumber__eachHasItsOperator(uint8 turns, uint256 seed) public {
        for (uint256 i = 0; i < turns % 12; ++i) {
            address next = address(uint160(uint256(keccak256(abi.encode(seed, i)))));
            vm.warp(block.timestamp + i);
            vm.startPrank(payee);
            seed >> i & 1 == 0 ? escrow.setOperator(next) : escrow.bumpGeneration(payee);
            vm.stopPrank();
            uint32 generation = escrow.payees(payee).generation;
            assertEq(generation, i + 2);
            assertEq(escrow.operatorOf(payee, generation), escrow.payees(payee).operator);
            assertEq(escrow.generationState(payee, generation - 1).closedAt, block.timestamp);
        }
    }

    function testFuzz_setPayout__anyTimes__takesOverOnTime(address to, uint64 wait) public {
        vm.assume(to != address(0));
        wait = uint64(bound(wait, 0, 2 * PAYOUT_DELAY));
        vm.prank(payee);
        escrow.setPayout(to);
        vm.warp(block.timestamp + wait);
        assertEq(escrow.payees(payee).payout, wait < PAYOUT_DELAY ? payee : to);
    }

    // ----------------------------------------------------------------------------------------------------- registry
    function testFuzz_stake__anyAmounts__comesBackAfterUnbonding(uint128 stake, uint128 more, uint128 out, uint64 wait)
        public
    {
        stake = uint128(bound(stake, MIN_STAKE, type(uint128).max / 4));
        more = uint128(bound(more, 1, type(uint128).max / 4));
        out = uint128(bound(out, 1, stake + more));
        wait = uint64(bound(wait, 0, 2 * UNBONDING));
        _register(payee, stake);
        currency.mint(payee, more);
        vm.startPrank(payee);
        currency.approve(address(registry), more);
        registry.addStake(more);
        stake + more - out < MIN_STAKE ? registry.deregister() : registry.requestUnstake(out);
        uint128 leaving = registry.provider(payee).unbonding;
        vm.warp(block.timestamp + wait);
        if (wait < UNBONDING) vm.expectRevert();
        registry.withdrawStake(payee);
        assertEq(currency.balanceOf(payee), wait < UNBONDING ? 0 : leaving);
        assertEq(currency.balanceOf(address(registry)), registry.slashable(payee));
    }

    /// @dev D5: never reverts, never more than there is, `paid` first.
    function testFuzz_slash__anyAmounts__neverReverts(uint128 paid, uint128 burn, uint128 stake, uint128 out) public {
        stake = uint128(bound(stake, MIN_STAKE + 1, type(uint128).max));
        out = uint128(bound(out, 1, stake - MIN_STAKE));
        _register(payee, stake);
        vm.prank(payee);
        registry.requestUnstake(out);
        vm.prank(duels);
        (uint128 paidOut, uint128 burntOut) = registry.slash(payee, paid, burn);
        assertEq(paidOut, _least(paid, stake));
        assertEq(burntOut, _least(burn, stake - paidOut));
        assertEq(registry.slashable(payee), stake - paidOut - burntOut);
        assertEq(currency.balanceOf(duels), paidOut);
    }

    function testFuzz_register__anyTexts__areReadBack(string calldata endpoint, bytes32 offer, string calldata next)
        public
    {
        vm.assume(bytes(endpoint).length != 0 && bytes(endpoint).length <= 256);
        vm.assume(bytes(next).length != 0 && bytes(next).length <= 256);
        currency.mint(payee, MIN_STAKE);
        vm.startPrank(payee);
        currency.approve(address(registry), MIN_STAKE);
        registry.register(endpoint, offer, MIN_STAKE);
        assertEq(registry.provider(payee).endpoint, endpoint);
        registry.setEndpoint(next);
        registry.setOffer(keccak256(abi.encode(offer)));
        Provider memory state = registry.provider(payee);
        assertEq(state.endpoint, next);
        assertEq(state.offerHash, keccak256(abi.encode(offer)));
    }

    // ----------------------------------------------------------------------------------------------------- helpers
    function _convict(Item memory item, uint128 owed) private {
        Claim memory claim = _claimOf(item, payer);
        SignedReceipt memory receipt = _receiptOf(claim, claim.seq, owed);
        escrow.challengeOverclaim(claim, item.claimSig, receipt, _sign(operatorKey, receipt.hash()));
    }

    function _least(uint128 a, uint128 b) private pure returns (uint128) {
        return a < b ? a : b;
    }
}
