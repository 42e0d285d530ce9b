// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DuelState, IDuels, MemberState, Opening, Side, State, Vote} from "../../src/interfaces/IDuels.sol";
import {Provider} from "../../src/interfaces/IRegistry.sol";
import {DuelsFixture} from "../base/DuelsFixture.sol";

/// @notice A market of members that dispatch, execute, judge, appeal, leave, cheat and fall silent: one function a move,
/// none of which may revert. Everybody plays every part.
contract DuelsHandler is DuelsFixture {
    uint256 private constant MEMBERS = 10;
    uint256 private constant MOST_DUELS = 24;

    struct Ballot {
        Vote vote;
        bool committed;
    }

    address[MEMBERS] private members;
    uint256[MEMBERS] private keys;
    bytes32[] public docket;
    mapping(bytes32 duelId => Opening) private openings;
    mapping(bytes32 duelId => mapping(uint8 seat => Ballot)) private ballots;
    mapping(bytes32 what => uint256) public calls;
    uint256 public steps;
    uint256 private donated;
    uint256 private fundedIn;
    uint256 private collectedOut;

    constructor() {
        DuelsFixture.setUp();
        members = [dispatcher, first, second, bench[0], bench[1], bench[2], bench[3], bench[4], bench[5], bench[6]];
        for (uint256 i = 0; i < MEMBERS; ++i) {
            (operator, keys[i]) = makeAddrAndKey(string.concat("operator key ", vm.toString(i)));
            if (i == 1 || i == 2) keys[i] = i == 1 ? firstKey : secondKey;
            else _setOperator(members[i], operator);
            if (i != 0) _fundCourt(members[i], PURSE);
        }
        fundedIn = PURSE * MEMBERS;
        everybodyCommits();
        vm.warp(_startOf(court.currentEpoch() + 1));
    }

    function setUp() public override {}

    modifier counted(bytes32 what) {
        ++calls[what];
        ++steps;
        _;
    }

    // ----------------------------------------------------------------------------------------------------- money, stake
    function fundOne(uint256 who, uint128 amount) external counted("fund") {
        amount = uint128(bound(amount, 1, PURSE));
        _fundCourt(members[who % MEMBERS], amount);
        fundedIn += amount;
    }

    function collectOne(uint256 who) external counted("collect") {
        address account = who % 11 == 10 ? stranger : members[who % MEMBERS];
        uint128 due = court.balances(account);
        if (due == 0) return;
        uint256 before = currency.balanceOf(account);
        vm.prank(account);
        court.collect(account);
        assertEq(currency.balanceOf(account) - before, due, "DINV4");
        collectedOut += due;
    }

    function donate(uint64 amount) external counted("donate") {
        currency.mint(address(court), amount);
        donated += amount;
    }

    function restake(uint256 who, uint128 amount) external counted("restake") {
        address member = members[who % MEMBERS];
        Provider memory state = registry.provider(member);
        amount = uint128(bound(amount, MIN_STAKE, 5 * MIN_STAKE));
        if (!state.listed) {
            _register(member, amount);
        } else if (amount % 2 == 0) {
            vm.prank(member);
            registry.deregister();
        }
    }

    function enrollOrResign(uint256 who) external counted("enroll") {
        address member = members[who % MEMBERS];
        MemberState memory state = court.member(member);
        Provider memory provider = registry.provider(member);
        if (!state.active && (!provider.listed || provider.stake < MIN_STAKE / 2)) return;
        vm.prank(member);
        state.active ? court.resign() : court.enroll(address(0));
    }

    function syncOne(uint256 who) external counted("sync") {
        court.sync(members[who % MEMBERS]);
    }

    function group(uint256 who, uint256 under) external counted("group") {
        (address member, address controller) = (members[who % MEMBERS], members[under % MEMBERS]);
        if (!court.member(member).active) return;
        vm.prank(controller);
        court.adopt(member);
        vm.prank(member);
        court.setController(controller);
    }

    // ------------------------------------------------------------------------------------------------------------ seeds
    function everybodyCommits() public counted("commitSeed") {
        uint32 next = court.currentEpoch() + 1;
        for (uint256 i = 0; i < MEMBERS; ++i) {
            (, uint16 rate,) = court.seedOf(members[i], next);
            if (rate != 0 || !court.member(members[i]).active) continue;
            bytes32 commitment = _seedHash(members[i], next, SEED);
            vm.prank(members[i]);
            court.commitSeed(members[i], commitment, uint16(100 * (i + 1)));
        }
    }

    /// @dev Half of the members forget to.
    function someReveal() external counted("revealSeed") {
        uint32 epoch = court.currentEpoch() - 1;
        if (block.timestamp > _startOf(epoch + 1) + EPOCH / 2) return;
        for (uint256 i = 0; i < MEMBERS; i += 2) {
            (, uint16 rate, bool revealed) = court.seedOf(members[i], epoch);
            if (rate != 0 && !revealed) court.revealSeed(members[i], epoch, SEED);
        }
    }

    function report(uint256 who, uint256 which) external counted("report") {
        address member = members[who % MEMBERS];
        uint256 before = registry.slashable(member);
        vm.startPrank(stranger);
        try court.reportUnrevealed(member, court.currentEpoch() - 2) {
            ++calls["unrevealed"];
            _assertSlashed(member, before);
        } catch {}
        vm.stopPrank();
        if (docket.length == 0) return;
        bytes32 duelId = docket[which % docket.length];
        Opening memory o = openings[duelId];
        before = registry.slashable(o.payer);
        vm.prank(stranger);
        try court.reportWrongDraw(duelId, SEED, o.requestId, o.first.nonceCommit) {
            ++calls["wrongDraw"];
            _assertSlashed(o.payer, before);
        } catch {}
    }

    /// @dev One slash a report, of a fixed amount, and never more than there is (D3, D5).
    function _assertSlashed(address member, uint256 before) private view {
        uint256 taken = before < FAULT ? before : FAULT;
        assertEq(before - registry.slashable(member), taken, "DINV3");
    }

    function contradict(uint256 who, uint256 salt) external counted("contradict") {
        who %= MEMBERS;
        Opening memory o;
        (o.payer, o.requestId) = (stranger, bytes32(salt));
        Side[2] memory sides = [_side(o, members[who], keys[who]), _side(o, members[who], keys[who])];
        sides[1].responseHash = "another";
        _resign(o, sides[1], keys[who]);
        bytes32[2] memory nothing;
        uint256 before = registry.slashable(members[who]);
        try court.reportTwoAnswers(stranger, o.requestId, nothing, nothing, sides) {
            ++calls["twoAnswers"];
            _assertSlashed(members[who], before);
        } catch {}
    }

    // ------------------------------------------------------------------------------------------------------------ duels
    function openOne(uint256 a, uint256 b, uint256 c, uint128 fee) external counted("open") {
        (a, b, c) = (a % MEMBERS, b % MEMBERS, c % MEMBERS);
        if (docket.length == MOST_DUELS || !_canOpen(a, b, c)) return;
        Opening memory o;
        (o.payer, o.requestId, o.fee) = (members[a], keccak256(abi.encode(docket.length)), fee);
        o.first = _side(o, members[b], keys[b]);
        o.second = _side(o, members[c], keys[c]);
        vm.prank(members[a]);
        bytes32 duelId = court.open(o);
        openings[duelId] = o;
        docket.push(duelId);
        ++calls["opened"];
    }

    function _canOpen(uint256 a, uint256 b, uint256 c) private view returns (bool) {
        (, uint16 rate,) = court.seedOf(members[a], court.currentEpoch());
        if (rate == 0 || !court.member(members[a]).active || court.balances(members[a]) < BOND) return false;
        address dispatching = court.member(members[a]).controller;
        address one = court.member(members[b]).controller;
        address other = court.member(members[c]).controller;
        return dispatching != one && dispatching != other && one != other;
    }

    function drawOne(uint256 which) external counted("draw") {
        if (docket.length == 0) return;
        bytes32 duelId = docket[which % docket.length];
        State state = _stateOf(duelId);
        if (state != State.Opened && state != State.Appealed) return;
        vm.roll(block.number + DELAY + 1);
        try court.draw(duelId) {
            ++calls["drawn"];
        } catch {}
    }

    /// @dev All seats of a running trial but `silent`; by each judge's own key.
    function vote(uint256 which, uint256 votes, uint256 silent) external counted("vote") {
        if (docket.length == 0) return;
        bytes32 duelId = docket[which % docket.length];
        (uint8 from, uint8 to, uint64 commitEnd) = _running(duelId);
        if (block.timestamp >= commitEnd) return;
        for (uint8 seat = from; seat < to; ++seat) {
            if (ballots[duelId][seat].committed || (silent >> seat) & 7 == 7) continue;
            Vote cast = Vote(1 + uint256(keccak256(abi.encode(votes, seat))) % (votes % 3 == 0 ? 4 : 1));
            ballots[duelId][seat] = Ballot(cast, true);
            _commit(duelId, seat, cast);
            ++calls["voted"];
        }
    }

    function revealAll(uint256 which) external counted("reveal") {
        if (docket.length == 0) return;
        bytes32 duelId = docket[which % docket.length];
        (uint8 from, uint8 to, uint64 commitEnd) = _running(duelId);
        if (commitEnd == 0 || block.timestamp >= commitEnd + REVEAL) return;
        if (block.timestamp < commitEnd) vm.warp(commitEnd);
        for (uint8 seat = from; seat < to; ++seat) {
            if (court.commitmentOf(duelId, seat) == 0) continue;
            _reveal(duelId, seat, ballots[duelId][seat].vote);
            ++calls["revealed"];
        }
    }

    function _running(bytes32 duelId) private view returns (uint8 from, uint8 to, uint64 commitEnd) {
        DuelState memory state = court.duel(duelId);
        if (state.state == State.Judging) return (0, 5, state.commitEnd);
        if (state.state == State.Retrial) return (5, 20, state.retrialCommitEnd);
    }

    function appealOne(uint256 which, uint256 who) external counted("appeal") {
        if (docket.length == 0) return;
        bytes32 duelId = docket[which % docket.length];
        address member = members[who % MEMBERS];
        DuelState memory state = court.duel(duelId);
        if (state.state != State.Judging || block.timestamp >= state.appealEnd) return;
        if (block.timestamp < state.revealEnd) vm.warp(state.revealEnd);
        if (court.balances(member) < APPEAL_BOND) return;
        vm.prank(member);
        court.appeal(duelId, member);
        ++calls["appealed"];
    }

    /// @dev DINV5: once it is due, anybody's call ends it.
    function finalizeOne(uint256 which, bool isForced) external counted("finalize") {
        if (docket.length == 0) return;
        _finish(docket[which % docket.length], isForced);
    }

    function _finish(bytes32 duelId, bool isForced) private {
        DuelState memory s = court.duel(duelId);
        if (s.state >= State.FirstWon) return;
        if (isForced) _passTime(s);
        bool isDue = (s.state == State.Opened && block.number > s.drawBlock + 256)
            || (s.state == State.Judging && block.timestamp >= s.appealEnd)
            || (s.state == State.Appealed && block.number > s.retrialBlock + 256)
            || (s.state == State.Retrial && block.timestamp >= s.retrialEnd);
        uint256 open = openBonds();
        vm.prank(stranger);
        try court.finalize(duelId) {
            assertTrue(isDue && _stateOf(duelId) >= State.FirstWon, "DINV5 only when due");
            assertLt(openBonds(), open);
            ++calls[bytes32(uint256(_stateOf(duelId)))];
        } catch {
            assertFalse(isDue, "DINV5");
        }
    }

    function _passTime(DuelState memory s) private {
        if (s.state == State.Opened || s.state == State.Appealed) vm.roll(block.number + 300);
        uint64 end = s.state == State.Judging ? s.appealEnd : s.state == State.Retrial ? s.retrialEnd : 0;
        if (block.timestamp < end) vm.warp(end);
    }

    function passTime(uint256 seconds_, uint256 blocks) external counted("time") {
        vm.warp(block.timestamp + bound(seconds_, 1, EPOCH));
        vm.roll(block.number + bound(blocks, 1, 300));
    }

    // --------------------------------------------------------------------------------------------------- the invariants
    function openBonds() public view returns (uint256 sum) {
        for (uint256 i = 0; i < docket.length; ++i) {
            State state = _stateOf(docket[i]);
            if (state < State.FirstWon) sum += BOND;
            if (state == State.Appealed || state == State.Retrial) sum += APPEAL_BOND;
        }
    }

    function check() public view {
        uint256 owed = court.burnt() + donated + openBonds() + court.balances(stranger) + court.balances(address(this));
        uint256 staked = registry.burnt();
        uint256 weight = 0;
        for (uint256 i = 0; i < MEMBERS; ++i) {
            owed += court.balances(members[i]);
            staked += registry.slashable(members[i]);
            weight += court.member(members[i]).weight;
            assertEq(court.member(members[i]).place, i + 1, "a place is for ever");
        }
        assertEq(currency.balanceOf(address(court)), owed, "DINV1 court");
        assertEq(currency.balanceOf(address(registry)), staked, "DINV1 registry");
        assertEq(court.totalWeight(court.currentEpoch()), weight, "DINV2");
    }

    /// @dev DINV5 for all of them: everybody vanishes, a stranger comes by.
    function closeAll() external {
        for (uint256 i = 0; i < docket.length; ++i) {
            _finish(docket[i], true);
            assertTrue(_stateOf(docket[i]) >= State.FirstWon, "DINV5 every duel ends");
        }
        assertEq(openBonds(), 0);
        check();
    }
}
