// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";

import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {IEscrow, Item, Status} from "../src/interfaces/IEscrow.sol";
import {Claim, Messages} from "../src/libraries/Messages.sol";
import {IDuels, Opening, Vote} from "../src/interfaces/IDuels.sol";
import {DuelsFixture} from "./base/DuelsFixture.sol";

/// @notice The gas table: whole transactions as an account on chain pays them. Only under `forge test --isolate`, which
/// makes every call from here a transaction of its own: 21,000, calldata, cold storage. Written to `build/gas.json`.
contract GasTest is DuelsFixture {
    using Messages for *;

    uint256 private constant LANES = 50;
    string private constant TABLE = "gas";
    string private json;

    function test_gasTable() public {
        _payerRows();
        _claimRows();
        _leavingRows();
        _duelRows();
        vm.createDir("build", true);
        vm.writeJson(json, "build/gas.json");
    }

    function _payerRows() private {
        currency.mint(payer, 10_000e6);
        vm.prank(payer);
        currency.approve(address(escrow), type(uint256).max);
        _row("deposit_first", payer, address(escrow), abi.encodeCall(IEscrow.deposit, (5000e6)));
        _row("deposit_again", payer, address(escrow), abi.encodeCall(IEscrow.deposit, (5000e6)));
        _row("allot_first", payer, address(escrow), abi.encodeCall(IEscrow.allot, (_one(payee), _one(uint128(1000e6)))));
        _row("allot_again", payer, address(escrow), abi.encodeCall(IEscrow.allot, (_one(payee), _one(uint128(1000e6)))));
        _row("set_operator", payee, address(escrow), abi.encodeCall(IEscrow.setOperator, (operator)));
        currency.mint(payee, MIN_STAKE);
        vm.prank(payee);
        currency.approve(address(registry), MIN_STAKE);
        bytes memory call =
            abi.encodeCall(IRegistry.register, ("https://provider-one.example:8443", keccak256("offer"), MIN_STAKE));
        _row("register", payee, address(registry), call);
    }

    function _claimRows() private {
        Item[] memory one = _one(_item(50e6, 100e6));
        _row("claim_first_of_payee", stranger, address(escrow), abi.encodeCall(IEscrow.claim, (one)));
        one[0] = _item(60e6, 100e6);
        _row("claim_warm", stranger, address(escrow), abi.encodeCall(IEscrow.claim, (one)));
        _fundLanes(false);
        uint256 first = _row("claim_batch50_first", stranger, address(escrow), _batch(LANES, 1e6, false));
        _row("claim_batch10_warm", stranger, address(escrow), _batch(10, 2e6, false));
        uint256 batch = _row("claim_batch50_warm", stranger, address(escrow), _batch(LANES, 3e6, false));
        _write("gas_per_lane_batch50", batch / LANES);
        _write("gas_per_lane_batch50_first_claims", first / LANES);
        _fundLanes(true);
        _row("claim_batch50_further_signers_first", stranger, address(escrow), _batch(LANES, 1e6, true));
        batch = _row("claim_batch50_further_signers_warm", stranger, address(escrow), _batch(LANES, 2e6, true));
        _write("gas_per_lane_batch50_further_signers", batch / LANES);
    }

    function _leavingRows() private {
        Item memory item = _item(90e6, 100e6);
        _claim(item);
        Claim memory claim = _claimOf(item, payer);
        bytes memory call = abi.encodeCall(
            IEscrow.challengeOverclaim,
            (
                claim,
                item.claimSig,
                _receiptOf(claim, item.seq, 80e6),
                _sign(operatorKey, _receiptOf(claim, item.seq, 80e6).hash())
            )
        );
        _row("challenge_overclaim", stranger, address(escrow), call);
        call = abi.encodeCall(IEscrow.requestThaw, (_one(payee), _one(type(uint128).max)));
        _row("request_thaw", payer, address(escrow), call);
        vm.warp(block.timestamp + 3 * D);
        _row("withdraw", payer, address(escrow), abi.encodeCall(IEscrow.withdraw, (_one(payee), payer)));
        _row("collect_earnings", stranger, address(escrow), abi.encodeCall(IEscrow.collectEarnings, (payee)));
        _row("deregister", payee, address(registry), abi.encodeCall(IRegistry.deregister, ()));
        vm.warp(block.timestamp + UNBONDING);
        _row("withdraw_stake", payee, address(registry), abi.encodeCall(IRegistry.withdrawStake, (payee)));
    }

    /// @dev A first duel pays judges that never were paid before; in a market that runs, all of them were.
    function _duelRows() private {
        vm.warp(_startOf(court.currentEpoch() + 1) - 1);
        _nextEpoch();
        _write("gas_per_duel_k5_first", _duel("first duel"));
        for (uint256 i = 0; i < bench.length; ++i) {
            _fundCourt(bench[i], 1);
        }
        _write("gas_per_duel_k5", _duel("second duel"));
        bytes memory call = abi.encodeCall(IDuels.commitSeed, (dispatcher, _seedHash(dispatcher, 0, SEED), RATE));
        _row("duel_commit_seed", dispatcher, address(court), call);
        uint32 epoch = court.currentEpoch();
        vm.warp(_startOf(epoch + 1));
        call = abi.encodeCall(IDuels.revealSeed, (dispatcher, epoch, SEED));
        _row("duel_reveal_seed", dispatcher, address(court), call);
        address newcomer = makeAddr("newcomer");
        _register(newcomer, MIN_STAKE);
        _row("duel_enroll", newcomer, address(court), abi.encodeCall(IDuels.enroll, (address(0))));
        _row("duel_collect", bench[6], address(court), abi.encodeCall(IDuels.collect, (bench[6])));
    }

    /// @dev Four judges against one: a verdict with everything it can cost, the dissenter's slash included.
    function _duel(bytes32 requestId) private returns (uint256 sum) {
        Opening memory o = _opening(requestId);
        bytes32 duelId = keccak256(abi.encode(o.payer, requestId));
        sum = _row("duel_open", dispatcher, address(court), abi.encodeCall(IDuels.open, (o)));
        vm.roll(block.number + DELAY + 1);
        sum += _row("duel_draw", stranger, address(court), abi.encodeCall(IDuels.draw, (duelId)));
        for (uint8 seat = 0; seat < 5; ++seat) {
            bytes32 commitment = _commitment(duelId, _judgeAt(duelId, seat), _voteOf(seat), seat);
            bytes memory call = abi.encodeCall(IDuels.commit, (duelId, seat, commitment));
            sum += _row("duel_commit", _judgeAt(duelId, seat), address(court), call);
        }
        vm.warp(block.timestamp + COMMIT);
        for (uint8 seat = 0; seat < 5; ++seat) {
            bytes32 salt = bytes32(uint256(seat));
            bytes memory call = abi.encodeCall(IDuels.reveal, (duelId, seat, _voteOf(seat), salt, RATIONALE));
            sum += _row("duel_reveal", _judgeAt(duelId, seat), address(court), call);
        }
        vm.warp(block.timestamp + REVEAL + APPEALING);
        sum += _row("duel_finalize", stranger, address(court), abi.encodeCall(IDuels.finalize, (duelId)));
    }

    function _voteOf(uint8 seat) private pure returns (Vote) {
        return seat == 4 ? Vote.Second : Vote.First;
    }

    // ----------------------------------------------------------------------------------------------------------- helpers
    function _fundLanes(bool further) private {
        for (uint256 i = 0; i < LANES; ++i) {
            address who = vm.addr(_key("lane payer", i));
            if (further) {
                _authorize(who, _key("lane signer", i), 1000e6);
            } else {
                _fund(who, 100e6);
                _allot(who, payee, 100e6);
            }
        }
    }

    function _batch(uint256 n, uint128 cumulative, bool further) private view returns (bytes memory) {
        Item[] memory items = new Item[](n);
        for (uint256 i = 0; i < n; ++i) {
            Item memory item = _blank(cumulative + uint128(i), 50e6 + uint128(i));
            item.payer = vm.addr(_key("lane payer", i));
            item.context = keccak256(abi.encode("terms", i));
            item.receiptsRoot = keccak256(abi.encode("root", i));
            item.count = 1000;
            items[i] = _signed(item, further ? _key("lane signer", i) : _key("lane payer", i), operatorKey);
        }
        return abi.encodeCall(IEscrow.claim, (items));
    }

    function _key(string memory what, uint256 i) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(what, i)));
    }

    /// @dev One transaction; the refund is capped at a fifth (EIP-3529).
    function _row(string memory name, address from, address to, bytes memory call) private returns (uint256 spent) {
        vm.prank(from);
        (bool ok, bytes memory result) = to.call(call);
        assertTrue(ok, name);
        if (bytes4(call) == IEscrow.claim.selector) _assertPaid(result);
        Vm.Gas memory gas = vm.lastCallGas();
        uint256 refund = uint256(int256(gas.gasRefunded));
        uint256 most = uint256(gas.gasTotalUsed) / 5;
        spent = gas.gasTotalUsed - (refund < most ? refund : most);
        _write(name, spent);
    }

    function _assertPaid(bytes memory result) private pure {
        Status[] memory statuses = abi.decode(result, (Status[]));
        for (uint256 i = 0; i < statuses.length; ++i) {
            assertTrue(statuses[i] == Status.Paid);
        }
    }

    function _write(string memory name, uint256 amount) private {
        json = vm.serializeUint(TABLE, name, amount);
    }
}
