// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IDuels, MemberState} from "../interfaces/IDuels.sol";
import {IRegistry, Provider} from "../interfaces/IRegistry.sol";
import {StakeTree} from "../libraries/StakeTree.sol";
import {Settings} from "./Settings.sol";

/// @title Members
/// @notice Who can be drawn, with what weight, who stands behind it and who may act for it. It holds no money.
abstract contract Members is Settings {
    using StakeTree for StakeTree.Tree;

    // -------------------------------------------------------------------------------------------------------- types
    /// @dev Slot 0 is all a draw reads.
    struct Member {
        address controller;
        bool active;
        address provider;
        address delegate;
    }

    // ------------------------------------------------------------------------------------------------------ storage
    /// @dev A place belongs to one provider for ever, so that a running duel may name its judges by 16 bits.
    mapping(uint256 place => Member) internal _members;
    mapping(address provider => uint16) internal _places;
    /// @dev By both, so that a stranger's adoption cannot take another's place.
    mapping(address controller => mapping(address provider => bool)) private _adoptions;
    uint16 private _lastPlace;
    StakeTree.Tree private _tree;

    // ====================================================================================================== members
    /// @inheritdoc IDuels
    function enroll(address delegate) external {
        uint16 place = _places[msg.sender];
        if (place == 0) place = _newPlace();
        Member storage self = _members[place];
        require(!self.active, Duels_AlreadyEnrolled(msg.sender));
        (self.active, self.delegate) = (true, delegate);
        emit Enrolled(msg.sender, place, delegate);
        require(_weigh(place, msg.sender, true) != 0, Duels_StakeTooLow(msg.sender));
    }

    /// @inheritdoc IDuels
    function resign() external {
        (uint16 place, Member storage self) = _active(msg.sender);
        self.active = false;
        emit Resigned(msg.sender);
        _weigh(place, msg.sender, false);
    }

    /// @inheritdoc IDuels
    function setDelegate(address delegate) external {
        (, Member storage self) = _active(msg.sender);
        emit DelegateSet(msg.sender, self.delegate, delegate);
        self.delegate = delegate;
    }

    /// @inheritdoc IDuels
    function adopt(address provider) external {
        require(provider != address(0), Duels_ZeroAddress());
        _adoptions[msg.sender][provider] = true;
        emit Adopted(msg.sender, provider);
    }

    /// @inheritdoc IDuels
    function setController(address controller) external {
        (, Member storage self) = _active(msg.sender);
        // Without its consent, naming a rival's controller would keep the rival out of juries.
        bool isAgreed = controller == msg.sender || _adoptions[controller][msg.sender];
        require(isAgreed, Duels_NotAdopted(controller, msg.sender));
        emit ControllerSet(msg.sender, self.controller, controller);
        self.controller = controller;
    }

    /// @inheritdoc IDuels
    function sync(address provider) external {
        uint16 place = _placeOf(provider);
        _weigh(place, provider, _members[place].active);
    }

    // ======================================================================================================== views
    /// @inheritdoc IDuels
    function member(address provider) external view returns (MemberState memory) {
        uint16 place = _places[provider];
        Member storage self = _members[place];
        return MemberState(place, self.active, self.controller, self.delegate, _tree.weightOf(place));
    }

    /// @inheritdoc IDuels
    function providerAt(uint16 place) external view returns (address) {
        return _members[place].provider;
    }

    /// @inheritdoc IDuels
    function totalWeight(uint32 epoch) external view returns (uint256) {
        _checkSnapshot(epoch);
        return _tree.total(epoch);
    }

    /// @inheritdoc IDuels
    function pick(uint32 epoch, uint256 point) external view returns (address) {
        return _members[_draw(epoch, point)].provider;
    }

    // ==================================================================================================== internals
    /// @dev The place a point falls on in the snapshot at the end of `epoch`.
    function _draw(uint32 epoch, uint256 point) internal view returns (uint16) {
        uint256 total = _snapshotTotal(epoch);
        return _placeAt(epoch, point % total);
    }

    function _snapshotTotal(uint32 epoch) internal view returns (uint256 total) {
        _checkSnapshot(epoch);
        total = _tree.total(epoch);
        require(total != 0, Duels_NoJudges());
    }

    function _placeAt(uint32 epoch, uint256 point) internal view returns (uint16) {
        return uint16(_tree.find(epoch, point));
    }

    function _placeOf(address provider) internal view returns (uint16 place) {
        place = _places[provider];
        require(place != 0, Duels_NotEnrolled(provider));
    }

    function _active(address provider) internal view returns (uint16 place, Member storage self) {
        place = _placeOf(provider);
        self = _members[place];
        require(self.active, Duels_NotEnrolled(provider));
    }

    function _controllerOf(uint256 place) internal view returns (address) {
        return _members[place].controller;
    }

    /// @dev The member at `place` itself, or its hot key.
    function _checkActor(uint256 place) internal view returns (address provider) {
        Member storage self = _members[place];
        provider = self.provider;
        require(msg.sender == provider || msg.sender == self.delegate, Duels_NotActor(provider, msg.sender));
    }

    function _newPlace() private returns (uint16 place) {
        require(_lastPlace != type(uint16).max, Duels_Full());
        place = ++_lastPlace;
        _places[msg.sender] = place;
        (_members[place].provider, _members[place].controller) = (msg.sender, msg.sender);
    }

    /// @dev Linear in stake (D1). What is unbonding or below the floor counts nothing.
    function _weigh(uint16 place, address provider, bool isIn) private returns (uint64 weight) {
        weight = isIn ? _weightOf(provider) : 0;
        if (weight == _tree.weightOf(place)) return weight;
        uint64 old = _tree.set(place, weight, _epoch());
        emit Weighed(provider, place, _epoch(), old, weight);
    }

    function _weightOf(address provider) private view returns (uint64) {
        Provider memory state = IRegistry(registry).provider(provider);
        if (!state.listed || state.stake < _leastStake) return 0;
        uint128 weight = state.stake / weightUnit;
        return weight < StakeTree.MAX_WEIGHT ? uint64(weight) : StakeTree.MAX_WEIGHT;
    }
}
