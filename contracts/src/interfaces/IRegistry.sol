// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice A provider as clients and new nodes read it. Operator key and generation live in the escrow.
/// @dev `stake` counts for routing; `unbonding` does not, but both can be slashed.
struct Provider {
    address provider;
    bool listed;
    uint64 unbondEnd;
    uint128 stake;
    uint128 unbonding;
    bytes32 offerHash;
    string endpoint;
}

/// @notice All windows, in seconds. `dispute` and `appeal` bound what a duels contract may use.
struct RegistryTimes {
    uint64 unbonding;
    uint64 dispute;
    uint64 appeal;
}

/// @title IRegistry
/// @notice Who the providers are: stake, endpoint and offer hash. Holds the stake and nothing else; no owner, no pause.
/// @dev The events alone rebuild all of the state.
interface IRegistry {
    // ------------------------------------------------------------------------------------------------------- events
    event Registered(address indexed provider, string endpoint, bytes32 offerHash, uint128 stake);
    event EndpointSet(address indexed provider, string oldEndpoint, string newEndpoint);
    event OfferSet(address indexed provider, bytes32 oldOfferHash, bytes32 newOfferHash);
    event StakeAdded(address indexed provider, uint128 amount, uint128 stake);
    /// @param amount Added to what is unbonding; the clock of all of it starts anew.
    event UnstakeRequested(
        address indexed provider, uint128 amount, uint128 stake, uint128 unbonding, uint64 unbondEnd
    );
    event Deregistered(address indexed provider, uint128 unbonding, uint64 unbondEnd);
    event StakeWithdrawn(address indexed provider, address indexed to, uint128 amount);
    /// @param paid Sent to the slasher `by`.
    /// @param burnt Can never leave again.
    event Slashed(
        address indexed provider, address indexed by, uint128 paid, uint128 burnt, uint128 stake, uint128 unbonding
    );

    // ------------------------------------------------------------------------------------------------------- errors
    error Registry_WrongSet();
    error Registry_WindowsOutOfOrder(uint256 unbonding, uint256 needed);
    error Registry_TimeOutOfBounds(uint64 time);
    error Registry_ZeroMinStake();
    error Registry_ZeroAddress();
    error Registry_ZeroAmount();
    error Registry_AlreadyListed(address provider);
    error Registry_NotListed(address provider);
    error Registry_StakeTooLow(uint256 stake, uint256 minStake);
    error Registry_EndpointLength(uint256 length, uint256 limit);
    error Registry_Overdraw(uint256 asked, uint256 available);
    error Registry_NothingUnbonding(address provider);
    error Registry_StillUnbonding(uint64 unbondEnd);
    error Registry_NotSlasher(address caller);
    error Registry_AmountMismatch(uint256 asked, uint256 moved);

    // ---------------------------------------------------------------------------------------------------- providers
    /// @notice Lists the caller as a provider. Takes `stake` by the caller's ERC-20 approval.
    function register(string calldata endpoint, bytes32 offerHash, uint128 stake) external;

    function setEndpoint(string calldata endpoint) external;

    /// @param offerHash EIP-712 struct hash of the offer document that the provider serves.
    function setOffer(bytes32 offerHash) external;

    function addStake(uint128 amount) external;

    /// @notice Starts unbonding `amount`. What stays must reach `minStake`; to leave entirely use `deregister`.
    function requestUnstake(uint128 amount) external;

    /// @notice Delists the caller at once and starts unbonding all of its stake. Depends on nobody else's state.
    function deregister() external;

    /// @notice Pays what has finished unbonding to `to`.
    function withdrawStake(address to) external;

    // ----------------------------------------------------------------------------------------------------- slashing
    /// @notice For the escrow and the duels contract alone. Takes from stake, then from what is unbonding; never asks for
    /// more than there is, so a verdict never reverts. `paid` is served before `burn`.
    /// @return paidOut Sent to the caller.
    /// @return burntOut Locked for ever.
    function slash(address provider, uint128 paid, uint128 burn) external returns (uint128 paidOut, uint128 burntOut);

    // -------------------------------------------------------------------------------------------------------- views
    function currency() external view returns (address);
    function escrow() external view returns (address);
    function duels() external view returns (address);
    function minStake() external view returns (uint128);
    function unbondingSeconds() external view returns (uint64);
    function disputeSeconds() external view returns (uint64);
    function appealSeconds() external view returns (uint64);
    function burnt() external view returns (uint256);

    /// @notice Stake plus what is unbonding.
    function slashable(address provider) external view returns (uint128);
    function provider(address provider_) external view returns (Provider memory);

    /// @notice Listed providers `from`, `from + 1`, ... (at most `count`), and how many there are. The order changes when
    /// one leaves: read all pages at one block. Some may be below `minStake` after a slash: readers filter.
    function providers(uint256 from, uint256 count) external view returns (Provider[] memory page, uint256 total);
}
