// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EscrowTimes, IEscrow} from "../interfaces/IEscrow.sol";

/// @title Windows
/// @notice The escrow's time windows and its clock. Fixed at deployment, public, bounded.
abstract contract Windows is IEscrow {
    /// @dev Longest window: far from any overflow, and nobody's money is locked for longer.
    uint64 private constant MAX_SECONDS = 90 days;

    uint64 public immutable thawSeconds;
    uint64 public immutable holdSeconds;
    uint64 public immutable payoutDelaySeconds;

    constructor(EscrowTimes memory times) {
        thawSeconds = _checkedTime(times.thaw);
        holdSeconds = _checkedTime(times.hold);
        payoutDelaySeconds = _checkedTime(times.payoutDelay);
    }

    function _now() internal view returns (uint64) {
        return uint64(block.timestamp);
    }

    function _checkedTime(uint64 time) private pure returns (uint64) {
        require(time != 0 && time <= MAX_SECONDS, Escrow_TimeOutOfBounds(time));
        return time;
    }

    function _min(uint128 a, uint128 b) internal pure returns (uint128) {
        return a < b ? a : b;
    }
}
