// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IEscrow, Item, PairState, Signature, SignerState, Status} from "../../src/interfaces/IEscrow.sol";
import {IRegistry, Provider} from "../../src/interfaces/IRegistry.sol";
import {Claim, Messages, Receipt as SignedReceipt} from "../../src/libraries/Messages.sol";
import {PlainToken, ReentrantToken} from "../base/Tokens.sol";
import {World} from "./World.sol";

/// @notice What the inhabitants do: one function a move, none of which may revert. Each checks what it alone can see.
contract Handler is World {
    using Messages for *;

    uint256 public steps;

    constructor(PlainToken token_) {
        vm.chainId(31_337);
        vm.warp(1_800_000_000);
        _populate(token_);
    }

    function setUp() public override {}

    modifier counted(bytes32 what) {
        ++calls[what];
        ++steps;
        _;
    }

    // -------------------------------------------------------------------------------------------------------- payers
    function deposit(uint256 who, uint128 amount) external counted("deposit") {
        address payer_ = payers[who % PAYERS];
        amount = uint128(bound(amount, 1, 10_000e6));
        token.mint(payer_, amount);
        vm.prank(payer_);
        escrow.deposit(amount);
        putIn[payer_] += amount;
    }

    function allot(uint256 who, uint256 whom, uint128 amount) external counted("allot") {
        address payer_ = payers[who % PAYERS];
        if (escrow.free(payer_) == 0) return;
        amount = uint128(bound(amount, 1, escrow.free(payer_)));
        _allot(payer_, payees[whom % PAYEES], amount);
    }

    /// @dev Re-thaws included: every amount, every time.
    function requestThaw(uint256 who, uint256 whom, uint128 amount) external counted("requestThaw") {
        (address payer_, address payee_) = (payers[who % PAYERS], payees[whom % PAYEES]);
        _thaw(payer_, payee_, amount);
        PairState memory pair = escrow.pairs(payer_, payee_);
        assertLe(pair.thawing, pair.allotted - pair.claimed);
        assertEq(pair.thawEnd, pair.thawing == 0 ? 0 : block.timestamp + W);
    }

    function cancelThaw(uint256 who, uint256 whom) external counted("cancelThaw") {
        (address payer_, address payee_) = (payers[who % PAYERS], payees[whom % PAYEES]);
        if (escrow.pairs(payer_, payee_).thawing == 0) return;
        vm.prank(payer_);
        escrow.cancelThaw(_one(payee_));
    }

    /// @dev INV6: at thawEnd exactly what is due, before it nothing.
    function withdraw(uint256 who, uint256 whom) external counted("withdraw") {
        (address payer_, address payee_) = (payers[who % PAYERS], payees[whom % PAYEES]);
        PairState memory pair = escrow.pairs(payer_, payee_);
        uint256 due = escrow.free(payer_);
        if (pair.thawing != 0 && block.timestamp >= pair.thawEnd) {
            uint128 unclaimed = pair.allotted - pair.claimed;
            due += pair.thawing < unclaimed ? pair.thawing : unclaimed;
        }
        if (due == 0) return;
        uint256 before = token.balanceOf(payer_);
        _withdraw(payer_, payee_);
        assertEq(token.balanceOf(payer_) - before, due, "INV6");
        takenOut[payer_] += due;
    }

    function raiseCap(uint256 who, uint128 more) external counted("raiseCap") {
        SignerState memory state = escrow.signerState(lanes[who % PAYERS][1]);
        if (state.thawEnd != 0 || state.cap > type(uint128).max / 2) return;
        vm.prank(state.payer);
        escrow.raiseSignerCap(lanes[who % PAYERS][1], state.cap + 1 + more / 4);
    }

    function endSigner(uint256 who) external counted("endSigner") {
        address signer_ = lanes[who % PAYERS][1];
        SignerState memory state = escrow.signerState(signer_);
        if (state.revoked || (state.thawEnd != 0 && block.timestamp < state.thawEnd)) return;
        vm.prank(state.payer);
        state.thawEnd == 0 ? escrow.thawSigner(signer_) : escrow.revokeSigner(signer_);
    }

    // -------------------------------------------------------------------------------------------------------- payees
    /// @dev One answer: a higher ceiling if needed, a receipt, and a claim that is kept and may be sent any time.
    function serve(uint256 who, uint256 whom, uint256 lane, uint128 charge) external counted("serve") {
        (who, whom, lane) = (who % PAYERS, whom % PAYEES, lane % 2);
        charge = uint128(bound(charge, 0, 2000e6));
        address laneOf = lanes[who][lane];
        Book storage book = books[payers[who]][payees[whom]][laneOf];
        if (book.charged + charge > MOST) return;
        book.charged += charge;
        Item memory item = _itemFor(who, whom, lane, book.charged, book.charged + charge);
        book.items.push(item);
        SignedReceipt memory receipt = _receiptOf(_claimOf(item, laneOf), item.seq, book.charged);
        book.receipts.push(receipt);
        book.receiptSigs.push(_sign(operatorKeys[whom], receipt.hash()));
    }

    /// @dev By anyone, any claim ever signed, in any order: replays included (P1).
    function claimAny(uint256 who, uint256 whom, uint256 lane, uint256 which) external counted("claimAny") {
        (who, whom, lane) = (who % PAYERS, whom % PAYEES, lane % 2);
        Book storage book = books[payers[who]][payees[whom]][lanes[who][lane]];
        if (book.items.length == 0) return;
        uint256 before = _earned(payees[whom]);
        PairState memory pair = escrow.pairs(payers[who], payees[whom]);
        Status status = _claim(book.items[which % book.items.length]);
        uint256 paid = _earned(payees[whom]) - before;
        assertLe(paid, pair.allotted - pair.claimed);
        assertEq(paid != 0, status == Status.Paid || status == Status.PaidPart);
        if (paid != 0) ++calls["paid"];
    }

    /// @dev INV8: n rows in one batch equal n batches of one, in the other order, where cover suffices.
    function claimBatch(uint256 seed) external counted("claimBatch") {
        Item[] memory items = new Item[](PAYERS * PAYEES * 2);
        uint256 n = 0;
        for (uint256 i = 0; i < items.length; ++i) {
            (uint256 a, uint256 b, uint256 c) = (i % PAYERS, i / PAYERS % PAYEES, i / PAYERS / PAYEES);
            Book storage book = books[payers[a]][payees[b]][lanes[a][c]];
            if (book.items.length == 0 || !_coverSuffices(a, b)) continue;
            items[n++] = book.items[uint256(keccak256(abi.encode(seed, i))) % book.items.length];
        }
        uint256 snapshot = vm.snapshotState();
        for (uint256 i = n; i > 0; --i) {
            escrow.claim(_one(items[i - 1]));
        }
        bytes32 singly = _victims();
        vm.revertToState(snapshot);
        assembly ("memory-safe") {
            mstore(items, n)
        }
        escrow.claim(items);
        assertEq(_victims(), singly, "INV8");
    }

    function newGeneration(uint256 whom, bool byOperator) external counted("newGeneration") {
        address payee_ = payees[whom % PAYEES];
        address operator_ = vm.addr(operatorKeys[whom % PAYEES]);
        if (byOperator && block.timestamp < escrow.payees(payee_).operatorBumpAt) return;
        vm.prank(byOperator ? operator_ : payee_);
        escrow.bumpGeneration(payee_);
    }

    function rotateOperator(uint256 whom, uint256 salt) external counted("rotateOperator") {
        operatorKeys[whom % PAYEES] = uint256(keccak256(abi.encode("rotated", salt)));
        _setOperator(payees[whom % PAYEES], vm.addr(operatorKeys[whom % PAYEES]));
    }

    function setPayout(uint256 whom, uint256 to) external counted("setPayout") {
        vm.prank(payees[whom % PAYEES]);
        escrow.setPayout(payees[to % PAYEES]);
    }

    /// @dev INV7: released earnings always come out, to the payout address, for anyone who asks.
    function collect(uint256 whom) external counted("collect") {
        address payee_ = payees[whom % PAYEES];
        uint256 due = escrow.earningsOf(payee_).released;
        if (due == 0) return;
        address payout = escrow.payees(payee_).payout;
        uint256 before = token.balanceOf(payout);
        vm.prank(stranger);
        escrow.collectEarnings(payee_);
        assertEq(token.balanceOf(payout) - before, due, "INV7");
        paidToPayees += due;
    }

    // --------------------------------------------------------------------------------------------------------- cheats
    /// @dev The dishonest operator claims up to the ceiling and goes on serving; the payer convicts it by a receipt.
    function overclaim(uint256 who, uint128 charge) external counted("overclaim") {
        who = who % PAYERS;
        charge = uint128(bound(charge, 1, 500e6));
        Book storage book = books[payers[who]][payees[CHEAT]][payers[who]];
        if (book.charged + 2 * charge > MOST) return;
        Item memory item = _itemFor(who, CHEAT, 0, book.charged + 2 * charge, book.charged + 2 * charge);
        book.charged += charge;
        Status status = _claim(item);
        (Claim memory claim, Signature memory sig) = _claimSigned(item, CHEAT, payers[who]);
        SignedReceipt memory receipt = _receiptOf(claim, _later(item.seq), book.charged);
        book.seq = receipt.seq;
        uint128 given = _tryChallenge(claim, sig, receipt, CHEAT);
        if (given != 0) ++calls["convicted"];
        if (status == Status.Paid) assertLe(given, charge);
        book.charged += charge;
    }

    /// @dev INV9: no two things an honest operator signed in one generation convict it.
    function accuseHonest(uint256 who, uint256 lane, uint256 a, uint256 b) external counted("accuseHonest") {
        (who, lane) = (who % PAYERS, lane % 2);
        Book storage book = books[payers[who]][payees[0]][lanes[who][lane]];
        if (book.items.length == 0) return;
        Item memory item = book.items[a % book.items.length];
        uint256 r = b % book.receipts.length;
        Claim memory claim = _claimOf(item, lanes[who][lane]);
        try escrow.challengeOverclaim(claim, item.claimSig, book.receipts[r], book.receiptSigs[r]) {
            assertTrue(false, "INV9");
        } catch {}
    }

    /// @dev Everything forged is refused: a foreign lane key, a foreign operator key, a ceiling raised after signing.
    function forge(uint256 who, uint256 whom, uint256 kind) external counted("forge") {
        (who, whom) = (who % PAYERS, whom % PAYEES);
        Book storage book = books[payers[who]][payees[whom]][payers[who]];
        uint128 honest = book.ceiling;
        Item memory item = _itemFor(who, whom, 0, honest + 1, honest + 1);
        book.ceiling = honest;
        uint256 forged = uint256(keccak256("forger"));
        if (kind % 3 == 0) item = _signed(item, forged, operatorKeys[whom]);
        if (kind % 3 == 1) item = _signed(item, payerKeys[who], forged);
        if (kind % 3 == 2) item.ceiling += 1;
        Status status = _claim(item);
        assertTrue(status != Status.Paid && status != Status.PaidPart, "INV3");
    }

    /// @dev INV5 and P14: whatever a stranger calls with nothing or with dust, nobody else's state moves.
    function stranger_(uint256 whom, uint128 dust, uint256 kind) external counted("stranger") {
        bytes32 before = _victims();
        address payee_ = payees[whom % PAYEES];
        address signer_ = lanes[whom % PAYERS][1];
        bytes[13] memory moves = [
            abi.encodeCall(IEscrow.allot, (_one(payee_), _one(dust % 2))),
            abi.encodeCall(IEscrow.requestThaw, (_one(payee_), _one(dust % 2))),
            abi.encodeCall(IEscrow.cancelThaw, (_one(payee_))),
            abi.encodeCall(IEscrow.withdraw, (_one(payee_), stranger)),
            abi.encodeCall(IEscrow.thawSigner, (signer_)),
            abi.encodeCall(IEscrow.revokeSigner, (signer_)),
            abi.encodeCall(IEscrow.raiseSignerCap, (signer_, type(uint128).max)),
            abi.encodeCall(IEscrow.bumpGeneration, (payee_)),
            abi.encodeCall(IEscrow.setOperator, (signer_)),
            abi.encodeCall(IEscrow.setPayout, (stranger)),
            abi.encodeCall(IEscrow.authorizeSigner, (signer_, dust, type(uint64).max, Signature(0, 0))),
            abi.encodeCall(IEscrow.deposit, (dust % 2)),
            abi.encodeCall(IEscrow.collectEarnings, (stranger))
        ];
        vm.startPrank(stranger);
        (bool ok,) = address(escrow).call(moves[kind % moves.length]);
        calls[ok ? bytes32("strangerDid") : bytes32("strangerDidNot")]++;
        (ok,) = address(registry).call(abi.encodeCall(IRegistry.slash, (payee_, dust, dust)));
        assertFalse(ok);
        vm.stopPrank();
        assertEq(_victims(), before, "INV5");
    }

    // ------------------------------------------------------------------------------------------------------- registry
    function stake(uint256 whom, uint128 amount) external counted("stake") {
        address payee_ = payees[whom % PAYEES];
        bool listed = registry.provider(payee_).listed;
        amount = uint128(bound(amount, listed ? 1 : MIN_STAKE, 10 * MIN_STAKE));
        token.mint(payee_, amount);
        vm.prank(payee_);
        listed ? registry.addStake(amount) : registry.register("https://x.example", 0, amount);
    }

    function unstake(uint256 whom, uint128 amount) external counted("unstake") {
        address payee_ = payees[whom % PAYEES];
        Provider memory state = registry.provider(payee_);
        if (!state.listed) return;
        vm.prank(payee_);
        if (state.stake <= MIN_STAKE) return registry.deregister();
        registry.requestUnstake(uint128(bound(amount, 1, state.stake - MIN_STAKE)));
    }

    /// @dev D4: nothing leaves before the end of unbonding.
    function withdrawStake(uint256 whom) external counted("withdrawStake") {
        address payee_ = payees[whom % PAYEES];
        Provider memory state = registry.provider(payee_);
        if (state.unbonding == 0) return;
        vm.prank(payee_);
        if (block.timestamp < state.unbondEnd) vm.expectRevert();
        registry.withdrawStake(payee_);
    }

    /// @dev D5 and INV10: a slash never reverts, and is paid plus burnt.
    function slashByDuels(uint256 whom, uint128 paid, uint128 burn) external counted("slashByDuels") {
        address payee_ = payees[whom % PAYEES];
        uint128 before = registry.slashable(payee_);
        vm.prank(duels);
        (uint128 paidOut, uint128 burntOut) = registry.slash(payee_, paid % MIN_STAKE, burn % MIN_STAKE);
        assertEq(before - registry.slashable(payee_), paidOut + burntOut, "INV10");
    }

    // ------------------------------------------------------------------------------------------------------ the world
    function warp(uint256 seconds_) external counted("warp") {
        vm.warp(block.timestamp + bound(seconds_, 1, 3 days / 2));
    }

    function donate(uint128 amount, bool toRegistry) external counted("donate") {
        amount %= 1e6;
        token.mint(toRegistry ? address(registry) : address(escrow), amount);
        toRegistry ? donatedToRegistry += amount : donatedToEscrow += amount;
    }

    /// @dev The malicious token: in its next transfer it calls the escrow for the stranger.
    function armToken(uint256 kind, uint256 whom) external counted("armToken") {
        if (keccak256(bytes(token.symbol())) != keccak256("PLAIN")) return;
        bytes[4] memory moves = [
            abi.encodeCall(IEscrow.withdraw, (_one(payees[whom % PAYEES]), stranger)),
            abi.encodeCall(IEscrow.collectEarnings, (payees[whom % PAYEES])),
            abi.encodeCall(IEscrow.deposit, (1)),
            abi.encodeCall(IEscrow.bumpGeneration, (payees[whom % PAYEES]))
        ];
        try ReentrantToken(address(token)).onTransfer(address(escrow), moves[kind % 4]) {} catch {}
    }

    // -------------------------------------------------------------------------------------------------------- helpers
    function _tryChallenge(Claim memory claim, Signature memory sig, SignedReceipt memory receipt, uint256 payee_)
        private
        returns (uint128 given)
    {
        Signature memory receiptSig = _sign(operatorKeys[payee_], receipt.hash());
        uint256 before = _slashed(payees[payee_]);
        uint128 free = escrow.free(claim.payer);
        uint256 burnt = escrow.burnt() + registry.burnt();
        try escrow.challengeOverclaim(claim, sig, receipt, receiptSig) {
            given = escrow.free(claim.payer) - free;
            burnt = escrow.burnt() + registry.burnt() - burnt;
            assertEq(before - _slashed(payees[payee_]), given + burnt, "INV10");
            assertGe(burnt, given, "convicting oneself never pays");
            givenBack[claim.payer] += given;
        } catch {}
    }

    function _slashed(address payee_) private view returns (uint256) {
        return _earned(payee_) + registry.slashable(payee_);
    }

    function _coverSuffices(uint256 a, uint256 b) private view returns (bool) {
        PairState memory pair = escrow.pairs(payers[a], payees[b]);
        uint256 owed = 0;
        for (uint256 c = 0; c < 2; ++c) {
            address lane = lanes[a][c];
            uint128 claimed = escrow.laneState(payers[a], payees[b], lane).claimed;
            uint128 charged = books[payers[a]][payees[b]][lane].charged;
            owed += charged > claimed ? charged - claimed : 0;
        }
        return owed <= pair.allotted - pair.claimed;
    }

    // ------------------------------------------------------------------------------------------------ the invariants
    /// @dev INV1 to INV4 and INV10 over everybody, in one walk.
    function check() external {
        uint256 owed = escrow.burnt() + donatedToEscrow + escrow.free(stranger);
        uint256 claimed = 0;
        uint256 back = 0;
        for (uint256 a = 0; a < PAYERS; ++a) {
            (uint256 has, uint256 gone) = _checkPairsOf(a);
            has += escrow.free(payers[a]);
            // INV4: own calls, claims on signed ceilings, and what is given back: nothing else moves a payer's money.
            assertEq(has + takenOut[payers[a]] + gone, putIn[payers[a]] + givenBack[payers[a]], "INV4");
            (owed, claimed, back) = (owed + has, claimed + gone, back + givenBack[payers[a]]);
        }
        _checkHoldings(owed, claimed, back);
    }

    function _checkHoldings(uint256 owed, uint256 claimed, uint256 back) private view {
        uint256 earned = 0;
        uint256 staked = registry.burnt() + donatedToRegistry;
        for (uint256 b = 0; b < PAYEES; ++b) {
            earned += _earned(payees[b]);
            staked += registry.slashable(payees[b]);
        }
        assertEq(token.balanceOf(address(escrow)), owed + earned, "INV1 escrow");
        assertEq(token.balanceOf(address(registry)), staked, "INV1 registry");
        // What payees earned is somewhere: held, collected, given back or burnt (which may include stake).
        uint256 collected = paidToPayees + _drawnByToken();
        assertGe(earned + collected + escrow.burnt() + back, claimed, "INV10");
        assertLe(earned + collected + escrow.burnt(), claimed, "INV10");
    }

    /// @dev Anyone may collect for a payee, a token from inside the registry's transfers too: these are no move of ours.
    function _drawnByToken() private view returns (uint256) {
        try ReentrantToken(address(token)).drawn() returns (uint256 amount) {
            return amount;
        } catch {
            return 0;
        }
    }

    function _checkPairsOf(uint256 a) private returns (uint256 has, uint256 gone) {
        for (uint256 b = 0; b < PAYEES; ++b) {
            uint256 sum = _checkLane(a, b, 0) + _checkLane(a, b, 1);
            PairState memory pair = escrow.pairs(payers[a], payees[b]);
            assertEq(sum, pair.claimed, "INV2 lanes make the pair");
            assertLe(pair.claimed, pair.allotted, "INV2 claimed <= allotted");
            assertLe(pair.thawing, pair.allotted, "cover cannot underflow");
            has += pair.allotted - pair.claimed;
            gone += pair.claimed;
        }
    }

    function _checkLane(uint256 a, uint256 b, uint256 c) private returns (uint128 claimed) {
        Book storage book = books[payers[a]][payees[b]][lanes[a][c]];
        claimed = escrow.laneState(payers[a], payees[b], lanes[a][c]).claimed;
        assertGe(claimed, book.lastClaimed, "INV2 never decreases");
        assertLe(claimed, book.ceiling, "INV3");
        book.lastClaimed = claimed;
    }
}
