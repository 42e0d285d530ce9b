// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EarningsState} from "../interfaces/IEscrow.sol";

/// @title Earnings
/// @notice A payee's earnings in two rolling buckets: what is earned in bucket b (time / D) is released when bucket b + 2
/// begins. The time of release depends on the time of earning alone, so nobody's dust can delay it (P14).
library Earnings {
    /// @notice `self` as it stands in bucket `bucket`.
    /// @dev Sums cannot overflow: the escrow refuses deposits beyond 2^128 - 1 in all.
    function rolledTo(EarningsState storage self, uint64 bucket) internal view returns (EarningsState memory state) {
        state = EarningsState(self.released, self.previous, self.current, self.bucket);
        if (bucket == state.bucket) return state;
        state.released += state.previous;
        state.previous = state.current;
        state.current = 0;
        if (bucket > state.bucket + 1) {
            state.released += state.previous;
            state.previous = 0;
        }
        state.bucket = bucket;
    }

    function save(EarningsState storage self, EarningsState memory state) internal {
        self.released = state.released;
        self.previous = state.previous;
        self.current = state.current;
        self.bucket = state.bucket;
    }

    function unreleased(EarningsState memory state) internal pure returns (uint128) {
        return state.previous + state.current;
    }

    /// @notice Takes `amount` out of the unreleased part, what is released soonest first.
    function take(EarningsState memory state, uint128 amount) internal pure {
        uint128 fromPrevious = amount < state.previous ? amount : state.previous;
        state.previous -= fromPrevious;
        state.current -= amount - fromPrevious;
    }
}
