// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {IEscrow} from "./interfaces/IEscrow.sol";
import {IRegistry, Provider, RegistryTimes} from "./interfaces/IRegistry.sol";

/// @title Registry
/// @notice See {IRegistry}. Read it by story: joining and staying, leaving, slashing.
contract Registry is IRegistry, ReentrancyGuard {
    using SafeERC20 for IERC20;

    // -------------------------------------------------------------------------------------------------------- types
    /// @dev `place` is the position in `_listed` plus one; 0 means not listed.
    struct Record {
        uint128 stake;
        uint128 unbonding;
        uint64 unbondEnd;
        uint64 place;
        bytes32 offerHash;
        string endpoint;
    }

    // ---------------------------------------------------------------------------------------------------- constants
    /// @dev Bytes of an endpoint URL: readers fetch every one of them.
    uint256 private constant MAX_ENDPOINT_LENGTH = 256;
    /// @dev Seconds between the last verdict and the earliest exit, for the verdict to be sent and mined.
    uint256 private constant EXIT_MARGIN_SECONDS = 48 hours;
    /// @dev Longest window: far from any overflow.
    uint64 private constant MAX_SECONDS = 365 days;

    // --------------------------------------------------------------------------------------------------- immutables
    address public immutable currency;
    address public immutable escrow;
    address public immutable duels;
    uint128 public immutable minStake;
    uint64 public immutable unbondingSeconds;
    uint64 public immutable disputeSeconds;
    uint64 public immutable appealSeconds;

    // ------------------------------------------------------------------------------------------------------ storage
    uint256 public burnt;
    address[] private _listed;
    mapping(address provider => Record) private _records;

    /// @dev The escrow must be deployed already, with this contract's address, so that the order of all windows is checked
    /// here, once for ever: nobody's stake leaves before its last act can have been judged (D4).
    constructor(address escrow_, uint128 minStake_, RegistryTimes memory times) {
        IEscrow set = IEscrow(escrow_);
        require(set.registry() == address(this), Registry_WrongSet());
        require(minStake_ != 0, Registry_ZeroMinStake());
        (escrow, currency, duels, minStake) = (escrow_, set.currency(), set.duels(), minStake_);
        unbondingSeconds = _checkedTime(times.unbonding);
        disputeSeconds = _checkedTime(times.dispute);
        appealSeconds = _checkedTime(times.appeal);
        (uint256 thaw, uint256 hold) = (set.thawSeconds(), set.holdSeconds());
        uint256 needed = (thaw > hold ? thaw : hold) + times.dispute + times.appeal + EXIT_MARGIN_SECONDS;
        require(times.unbonding >= needed, Registry_WindowsOutOfOrder(times.unbonding, needed));
    }

    // ============================================================================================ joining and staying
    /// @inheritdoc IRegistry
    function register(string calldata endpoint, bytes32 offerHash, uint128 stake) external nonReentrant {
        Record storage record = _records[msg.sender];
        require(record.place == 0, Registry_AlreadyListed(msg.sender));
        require(stake >= minStake, Registry_StakeTooLow(stake, minStake));
        _checkEndpoint(endpoint);
        _listed.push(msg.sender);
        record.place = uint64(_listed.length);
        (record.stake, record.offerHash, record.endpoint) = (stake, offerHash, endpoint);
        emit Registered(msg.sender, endpoint, offerHash, stake);
        _take(stake);
    }

    /// @inheritdoc IRegistry
    function setEndpoint(string calldata endpoint) external {
        Record storage record = _ownListing();
        _checkEndpoint(endpoint);
        emit EndpointSet(msg.sender, record.endpoint, endpoint);
        record.endpoint = endpoint;
    }

    /// @inheritdoc IRegistry
    function setOffer(bytes32 offerHash) external {
        Record storage record = _ownListing();
        emit OfferSet(msg.sender, record.offerHash, offerHash);
        record.offerHash = offerHash;
    }

    /// @inheritdoc IRegistry
    function addStake(uint128 amount) external nonReentrant {
        Record storage record = _ownListing();
        require(amount != 0, Registry_ZeroAmount());
        record.stake += amount;
        emit StakeAdded(msg.sender, amount, record.stake);
        _take(amount);
    }

    // ======================================================================================================== leaving
    /// @inheritdoc IRegistry
    function requestUnstake(uint128 amount) external {
        Record storage record = _ownListing();
        require(amount != 0, Registry_ZeroAmount());
        require(amount <= record.stake, Registry_Overdraw(amount, record.stake));
        uint128 left = record.stake - amount;
        require(left >= minStake, Registry_StakeTooLow(left, minStake));
        record.stake = left;
        _unbond(record, amount);
        emit UnstakeRequested(msg.sender, amount, left, record.unbonding, record.unbondEnd);
    }

    /// @inheritdoc IRegistry
    function deregister() external {
        Record storage record = _ownListing();
        _delist(record);
        _unbond(record, record.stake);
        record.stake = 0;
        emit Deregistered(msg.sender, record.unbonding, record.unbondEnd);
    }

    /// @inheritdoc IRegistry
    function withdrawStake(address to) external nonReentrant {
        require(to != address(0), Registry_ZeroAddress());
        Record storage record = _records[msg.sender];
        uint128 amount = record.unbonding;
        require(amount != 0, Registry_NothingUnbonding(msg.sender));
        require(block.timestamp >= record.unbondEnd, Registry_StillUnbonding(record.unbondEnd));
        (record.unbonding, record.unbondEnd) = (0, 0);
        emit StakeWithdrawn(msg.sender, to, amount);
        _pay(to, amount);
    }

    // ======================================================================================================= slashing
    /// @inheritdoc IRegistry
    function slash(address provider_, uint128 paid, uint128 burn)
        external
        nonReentrant
        returns (uint128 paidOut, uint128 burntOut)
    {
        require(msg.sender == escrow || msg.sender == duels, Registry_NotSlasher(msg.sender));
        Record storage record = _records[provider_];
        paidOut = _takeFrom(record, paid);
        burntOut = _takeFrom(record, burn);
        burnt += burntOut;
        emit Slashed(provider_, msg.sender, paidOut, burntOut, record.stake, record.unbonding);
        if (paidOut != 0) _pay(msg.sender, paidOut);
    }

    // ========================================================================================================== views
    /// @inheritdoc IRegistry
    function slashable(address provider_) external view returns (uint128) {
        return _records[provider_].stake + _records[provider_].unbonding;
    }

    /// @inheritdoc IRegistry
    function provider(address provider_) external view returns (Provider memory) {
        return _providerOf(provider_);
    }

    /// @inheritdoc IRegistry
    function providers(uint256 from, uint256 count) external view returns (Provider[] memory page, uint256 total) {
        total = _listed.length;
        uint256 left = from < total ? total - from : 0;
        page = new Provider[](count < left ? count : left);
        for (uint256 i = 0; i < page.length; ++i) {
            page[i] = _providerOf(_listed[from + i]);
        }
    }

    // ====================================================================================================== internals
    /// @dev The order of the list is of no meaning, so the last one takes the empty place.
    function _delist(Record storage record) private {
        address last = _listed[_listed.length - 1];
        _listed[record.place - 1] = last;
        _records[last].place = record.place;
        _listed.pop();
        record.place = 0;
    }

    /// @dev One clock for all that is unbonding: a later request never leaves under an earlier clock.
    function _unbond(Record storage record, uint128 amount) private {
        record.unbonding += amount;
        record.unbondEnd = uint64(block.timestamp) + unbondingSeconds;
    }

    /// @dev Stake first, so that a slashed provider loses weight in routing at once.
    function _takeFrom(Record storage record, uint128 asked) private returns (uint128 taken) {
        uint128 fromStake = asked < record.stake ? asked : record.stake;
        uint128 rest = asked - fromStake;
        uint128 fromUnbonding = rest < record.unbonding ? rest : record.unbonding;
        record.stake -= fromStake;
        record.unbonding -= fromUnbonding;
        return fromStake + fromUnbonding;
    }

    function _take(uint128 amount) private {
        uint256 before = IERC20(currency).balanceOf(address(this));
        IERC20(currency).safeTransferFrom(msg.sender, address(this), amount);
        _checkMoved(amount, IERC20(currency).balanceOf(address(this)) - before);
    }

    function _pay(address to, uint128 amount) private {
        uint256 before = IERC20(currency).balanceOf(address(this));
        IERC20(currency).safeTransfer(to, amount);
        _checkMoved(amount, before - IERC20(currency).balanceOf(address(this)));
    }

    function _ownListing() private view returns (Record storage record) {
        record = _records[msg.sender];
        require(record.place != 0, Registry_NotListed(msg.sender));
    }

    function _providerOf(address provider_) private view returns (Provider memory) {
        Record storage record = _records[provider_];
        return Provider({
            provider: provider_,
            listed: record.place != 0,
            unbondEnd: record.unbondEnd,
            stake: record.stake,
            unbonding: record.unbonding,
            offerHash: record.offerHash,
            endpoint: record.endpoint
        });
    }

    function _checkEndpoint(string calldata endpoint) private pure {
        uint256 length = bytes(endpoint).length;
        require(length != 0 && length <= MAX_ENDPOINT_LENGTH, Registry_EndpointLength(length, MAX_ENDPOINT_LENGTH));
    }

    function _checkMoved(uint256 asked, uint256 moved) private pure {
        require(moved == asked, Registry_AmountMismatch(asked, moved));
    }

    function _checkedTime(uint64 time) private pure returns (uint64) {
        require(time != 0 && time <= MAX_SECONDS, Registry_TimeOutOfBounds(time));
        return time;
    }
}
