// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IDuels
/// @notice What a duels contract must tell the rest of the deployment set. It is the second of the two contracts that may
/// slash stake, so its windows must fit inside the registry's unbonding time.
/// @dev The registry is deployed with upper bounds for both windows (`disputeSeconds`, `appealSeconds`). A duels
/// contract must assert in its constructor that it is the registry's `duels`, and that its own windows are not longer.
interface IDuels {
    function registry() external view returns (address);

    /// @notice Longest time from the act that is judged to its first verdict.
    function disputeSeconds() external view returns (uint64);

    /// @notice Longest time from the first verdict to the final one.
    function appealSeconds() external view returns (uint64);
}
