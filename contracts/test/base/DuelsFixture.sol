// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DuelAmounts, DuelState, DuelTimes, IDuels, Opening, Side, State, Vote} from "../../src/interfaces/IDuels.sol";
import {Answer, Messages} from "../../src/libraries/Messages.sol";
import {Fixture} from "./Fixture.sol";

/// @notice A whole set with a real Duels, a population of members, and one helper a step of a duel.
abstract contract DuelsFixture is Fixture {
    using Messages for Answer;

    uint64 internal constant EPOCH = 1 days;
    uint64 internal constant COMMIT = 1 hours;
    uint64 internal constant REVEAL = 2 hours;
    uint64 internal constant APPEALING = 6 hours;
    uint64 internal constant DELAY = 2;
    uint128 internal constant BOND = 8e6;
    uint128 internal constant APPEAL_BOND = 20e6;
    uint128 internal constant FEE = 1e6;
    uint128 internal constant LOSER = 20e6;
    uint128 internal constant MINORITY = 10e6;
    uint128 internal constant SILENT = 11e6;
    uint128 internal constant FAULT = 50e6;
    uint128 internal constant PURSE = 100e6;
    uint128 internal constant REQUEST_FEE = 5e6;
    uint16 internal constant RATE = 1000;
    bytes32 internal constant SEED = keccak256("epoch seed");
    bytes32 internal constant RATIONALE = keccak256("because");

    IDuels internal court;
    address internal dispatcher;
    address internal first;
    address internal second;
    uint256 internal firstKey;
    uint256 internal secondKey;
    address[] internal bench;

    function setUp() public virtual override {
        super.setUp();
        duels = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 2);
        (escrow, registry) = _deploySet(address(currency));
        court = _deployCourt(_times(), _amounts());
        dispatcher = _member("dispatcher", MIN_STAKE);
        (first, firstKey) = _executor("first");
        (second, secondKey) = _executor("second");
        for (uint256 i = 0; i < 7; ++i) {
            bench.push(_member(string.concat("judge ", vm.toString(i)), MIN_STAKE * uint128(i + 1)));
        }
        _fundCourt(dispatcher, PURSE);
        _nextEpoch();
    }

    function _times() internal pure returns (DuelTimes memory) {
        return DuelTimes(EPOCH, COMMIT, REVEAL, APPEALING, DELAY);
    }

    function _amounts() internal pure returns (DuelAmounts memory) {
        return DuelAmounts(BOND, APPEAL_BOND, FEE, LOSER, MINORITY, SILENT, FAULT);
    }

    function _deployCourt(DuelTimes memory times, DuelAmounts memory amounts) internal returns (IDuels) {
        return IDuels(deployCode("Duels.sol:Duels", abi.encode(registry, times, amounts)));
    }

    // ---------------------------------------------------------------------------------------------------------- members
    function _member(string memory name, uint128 stake) internal returns (address who) {
        who = makeAddr(name);
        _register(who, stake);
        vm.prank(who);
        court.enroll(address(0));
    }

    function _executor(string memory name) internal returns (address who, uint256 key) {
        who = _member(name, MIN_STAKE);
        address operator_;
        (operator_, key) = makeAddrAndKey(string.concat("operator of ", name));
        _setOperator(who, operator_);
    }

    function _fundCourt(address who, uint128 amount) internal {
        currency.mint(who, amount);
        vm.startPrank(who);
        currency.approve(address(court), amount);
        court.fund(who, amount);
        vm.stopPrank();
    }

    /// @dev Into the middle of nowhere: the start of the next epoch, with the dispatcher's seed committed for it.
    function _nextEpoch() internal {
        _commitSeed(SEED);
        vm.warp(_startOf(court.currentEpoch() + 1));
        vm.roll(block.number + 1000);
    }

    function _commitSeed(bytes32 seed) internal {
        bytes32 commitment = _seedHash(dispatcher, court.currentEpoch() + 1, seed);
        vm.prank(dispatcher);
        court.commitSeed(dispatcher, commitment, RATE);
    }

    function _seedHash(address who, uint32 epoch, bytes32 seed) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(court), who, epoch, seed));
    }

    function _startOf(uint32 epoch) internal pure returns (uint256) {
        return uint256(epoch) * EPOCH;
    }

    // ---------------------------------------------------------------------------------------------------------- opening
    function _opening(bytes32 requestId) internal view returns (Opening memory o) {
        (o.payer, o.requestId, o.requestHash, o.model) = (dispatcher, requestId, keccak256("bytes"), keccak256("model"));
        (o.evidenceRoot, o.fee) = (keccak256("evidence"), REQUEST_FEE);
        o.first = _side(o, first, firstKey);
        o.second = _side(o, second, secondKey);
    }

    function _side(Opening memory o, address executor, uint256 key) internal view returns (Side memory side) {
        (side.executor, side.lane, side.generation) = (executor, o.payer, 1);
        side.responseHash = keccak256(abi.encode("answer of", executor));
        side.nonceCommit = keccak256(abi.encode("nonce of", executor, o.requestId));
        _resign(o, side, key);
    }

    function _resign(Opening memory o, Side memory side, uint256 key) internal view {
        side.signature = _sign(key, _answer(o, side).hash());
    }

    function _answer(Opening memory o, Side memory side) internal pure returns (Answer memory) {
        return Answer({
            payer: o.payer,
            lane: side.lane,
            generation: side.generation,
            requestId: o.requestId,
            requestHash: o.requestHash,
            responseHash: side.responseHash,
            model: o.model,
            executor: side.executor,
            nonceCommit: side.nonceCommit
        });
    }

    function _open(Opening memory o) internal returns (bytes32) {
        vm.prank(dispatcher);
        return court.open(o);
    }

    function _opened() internal returns (bytes32) {
        return _open(_opening(keccak256("request")));
    }

    // ---------------------------------------------------------------------------------------------------------- judging
    function _drawn() internal returns (bytes32 duelId) {
        duelId = _opened();
        _draw(duelId);
    }

    function _draw(bytes32 duelId) internal {
        vm.roll(block.number + DELAY + 1);
        court.draw(duelId);
    }

    function _judges(bytes32 duelId) internal view returns (address[] memory) {
        return court.duel(duelId).judges;
    }

    function _jurors(bytes32 duelId) internal view returns (address[] memory) {
        return court.duel(duelId).jurors;
    }

    function _commit(bytes32 duelId, uint8 seat, Vote vote) internal {
        address judge = _judgeAt(duelId, seat);
        bytes32 commitment = _commitment(duelId, judge, vote, seat);
        vm.prank(judge);
        court.commit(duelId, seat, commitment);
    }

    function _reveal(bytes32 duelId, uint8 seat, Vote vote) internal {
        court.reveal(duelId, seat, vote, bytes32(uint256(seat)), RATIONALE);
    }

    function _judgeAt(bytes32 duelId, uint8 seat) internal view returns (address) {
        DuelState memory state = court.duel(duelId);
        return seat < 5 ? state.judges[seat] : state.jurors[seat - 5];
    }

    function _commitment(bytes32 duelId, address judge, Vote vote, uint256 salt) internal view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(court), duelId, judge, vote, bytes32(salt), RATIONALE));
    }

    /// @dev Commits and reveals `votes` from seat `from` on; `Vote.None` neither commits nor reveals.
    function _trial(bytes32 duelId, uint8 from, Vote[] memory votes) internal {
        for (uint8 i = 0; i < votes.length; ++i) {
            if (votes[i] != Vote.None) _commit(duelId, from + i, votes[i]);
        }
        vm.warp(block.timestamp + COMMIT);
        for (uint8 i = 0; i < votes.length; ++i) {
            if (votes[i] != Vote.None) _reveal(duelId, from + i, votes[i]);
        }
        vm.warp(block.timestamp + REVEAL);
    }

    /// @dev A duel whose judges have voted; the appeal window has just begun.
    function _judged(Vote[] memory votes) internal returns (bytes32 duelId) {
        duelId = _drawn();
        _trial(duelId, 0, votes);
    }

    function _appealed(Vote[] memory votes, address appellant) internal returns (bytes32 duelId) {
        duelId = _judged(votes);
        _fundCourt(appellant, APPEAL_BOND);
        vm.prank(appellant);
        court.appeal(duelId, appellant);
    }

    /// @dev `n` votes of one kind, then `m` of another, silence up to `size`.
    function _votes(uint256 size, uint256 n, Vote a, uint256 m, Vote b) internal pure returns (Vote[] memory votes) {
        votes = new Vote[](size);
        for (uint256 i = 0; i < n + m; ++i) {
            votes[i] = i < n ? a : b;
        }
    }

    function _five(uint256 n, Vote a, uint256 m, Vote b) internal pure returns (Vote[] memory) {
        return _votes(5, n, a, m, b);
    }

    function _stateOf(bytes32 duelId) internal view returns (State) {
        return court.duel(duelId).state;
    }
}
