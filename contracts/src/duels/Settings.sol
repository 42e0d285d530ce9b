// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DuelAmounts, DuelTimes, IDuels} from "../interfaces/IDuels.sol";
import {IRegistry} from "../interfaces/IRegistry.sol";

/// @title Settings
/// @notice The set the contract belongs to, its windows and amounts, and its clocks. Fixed at deployment, public, bounded.
abstract contract Settings is IDuels {
    // ---------------------------------------------------------------------------------------------------- constants
    uint256 internal constant JUDGES = 5;
    uint256 internal constant JURY = 15;
    /// @dev A draw block's hash is known to the chain for this many blocks.
    uint256 internal constant HASH_BLOCKS = 256;
    /// @dev What those blocks, and the draw block's delay, are taken for when windows are compared.
    uint64 private constant DRAW_SECONDS = 1 hours;
    uint64 private constant MAX_SECONDS = 90 days;
    uint64 private constant MAX_DELAY = 128;
    /// @dev A provider's least stake outlasts this many lost duels (D3).
    uint128 private constant LOSSES_IN_MIN_STAKE = 20;
    /// @dev One unit of weight is this part of the least stake.
    uint128 private constant UNITS_IN_MIN_STAKE = 1000;
    /// @dev Below this part of the least stake a member is drawn no more: so a lazy judge is ejected.
    uint128 private constant EJECTION_DIVISOR = 2;

    // --------------------------------------------------------------------------------------------------- immutables
    address public immutable registry;
    address public immutable escrow;
    address public immutable currency;
    uint128 public immutable weightUnit;
    uint128 internal immutable _leastStake;
    uint64 internal immutable _epochSeconds;
    uint64 internal immutable _commitSeconds;
    uint64 internal immutable _revealSeconds;
    uint64 internal immutable _appealWindow;
    uint64 internal immutable _drawDelay;
    uint128 internal immutable _bond;
    uint128 internal immutable _appealBond;
    uint128 internal immutable _judgeFee;
    uint128 internal immutable _loserSlash;
    uint128 internal immutable _minoritySlash;
    uint128 internal immutable _silentSlash;
    uint128 internal immutable _faultSlash;

    /// @dev The registry must be deployed already, with this contract's address, and must wait long enough for verdicts (D4).
    constructor(address registry_, DuelTimes memory times_, DuelAmounts memory amounts_) {
        IRegistry set = IRegistry(registry_);
        require(set.duels() == address(this), Duels_WrongSet());
        (registry, escrow, currency) = (registry_, set.escrow(), set.currency());
        uint128 minStake = set.minStake();
        weightUnit = minStake < UNITS_IN_MIN_STAKE ? 1 : minStake / UNITS_IN_MIN_STAKE;
        _leastStake = minStake / EJECTION_DIVISOR;
        _checkTimes(set, times_);
        _checkAmounts(amounts_, minStake);
        (_epochSeconds, _commitSeconds, _revealSeconds) = (times_.epoch, times_.commit, times_.reveal);
        (_appealWindow, _drawDelay) = (times_.appeal, times_.drawDelay);
        (_bond, _appealBond, _judgeFee) = (amounts_.bond, amounts_.appealBond, amounts_.judgeFee);
        (_loserSlash, _minoritySlash) = (amounts_.loserSlash, amounts_.minoritySlash);
        (_silentSlash, _faultSlash) = (amounts_.silentSlash, amounts_.faultSlash);
    }

    // ======================================================================================================== views
    /// @inheritdoc IDuels
    function times() external view returns (DuelTimes memory) {
        return DuelTimes(_epochSeconds, _commitSeconds, _revealSeconds, _appealWindow, _drawDelay);
    }

    /// @inheritdoc IDuels
    function amounts() external view returns (DuelAmounts memory) {
        return DuelAmounts(_bond, _appealBond, _judgeFee, _loserSlash, _minoritySlash, _silentSlash, _faultSlash);
    }

    /// @inheritdoc IDuels
    function disputeSeconds() external view returns (uint64) {
        return DRAW_SECONDS + _commitSeconds + _revealSeconds;
    }

    /// @inheritdoc IDuels
    function appealSeconds() external view returns (uint64) {
        return _appealWindow + DRAW_SECONDS + _commitSeconds + _revealSeconds;
    }

    /// @inheritdoc IDuels
    function currentEpoch() external view returns (uint32) {
        return _epoch();
    }

    // ==================================================================================================== internals
    function _now() internal view returns (uint40) {
        return uint40(block.timestamp);
    }

    function _epoch() internal view returns (uint32) {
        return uint32(block.timestamp / _epochSeconds);
    }

    /// @dev The tree remembers the ends of the two epochs before this one.
    function _checkSnapshot(uint32 epoch) internal view {
        uint32 current = _epoch();
        require(epoch <= current && current - epoch <= 2, Duels_NoSnapshot(epoch));
    }

    function _min(uint128 a, uint128 b) internal pure returns (uint128) {
        return a < b ? a : b;
    }

    function _checkTimes(IRegistry set, DuelTimes memory t) private view {
        _checkTime(t.epoch, MAX_SECONDS);
        _checkTime(t.commit, MAX_SECONDS);
        _checkTime(t.reveal, MAX_SECONDS);
        _checkTime(t.appeal, MAX_SECONDS);
        _checkTime(t.drawDelay, MAX_DELAY);
        uint64 trial = DRAW_SECONDS + t.commit + t.reveal;
        require(trial <= set.disputeSeconds(), Duels_WindowsOutOfOrder(trial, set.disputeSeconds()));
        uint64 retrial = t.appeal + trial;
        require(retrial <= set.appealSeconds(), Duels_WindowsOutOfOrder(retrial, set.appealSeconds()));
    }

    /// @dev Bonds cover every fee, silence costs at least what dissent does, and no slash empties the least stake.
    function _checkAmounts(DuelAmounts memory a, uint128 minStake) private pure {
        require(
            a.judgeFee != 0 && a.loserSlash != 0 && a.minoritySlash != 0 && a.faultSlash != 0
                && a.bond / JUDGES >= a.judgeFee && a.appealBond / JURY >= a.judgeFee
                && a.silentSlash >= a.minoritySlash && a.loserSlash <= minStake / LOSSES_IN_MIN_STAKE
                && a.silentSlash <= minStake / LOSSES_IN_MIN_STAKE && a.faultSlash <= minStake
                && a.loserSlash <= type(uint96).max,
            Duels_AmountsOutOfOrder()
        );
    }

    function _checkTime(uint64 time, uint64 limit) private pure {
        require(time != 0 && time <= limit, Duels_TimeOutOfBounds(time));
    }
}
