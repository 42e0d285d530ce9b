// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {IEscrow, PairState} from "../interfaces/IEscrow.sol";
import {Windows} from "./Windows.sol";

/// @title Custody
/// @notice The payer's side of the escrow: deposits, allotments, thaws, and every movement of the currency itself.
/// It knows nothing of signatures.
abstract contract Custody is Windows, ReentrancyGuard {
    using SafeERC20 for IERC20;

    // ------------------------------------------------------------------------------------------------------------ types
    /// @dev Never deleted: lifetime totals are what makes a replay worth nothing (P1). Claims write slot 0 only.
    struct Pair {
        uint128 allotted;
        uint128 claimed;
        uint128 thawing;
        uint64 thawEnd;
        mapping(address signer => Lane) lanes;
    }

    struct Lane {
        uint128 claimed;
        uint32 generation;
        mapping(uint32 generation => LaneHistory) history;
    }

    struct LaneHistory {
        uint128 top;
        uint128 returned;
    }

    // ---------------------------------------------------------------------------------------------------------- storage
    address public immutable currency;
    mapping(address payer => uint128) public free;
    mapping(address payer => mapping(address payee => Pair)) internal _pairs;

    constructor(address currency_) {
        require(currency_ != address(0), Escrow_ZeroAddress());
        currency = currency_;
    }

    // ======================================================================================================= depositing
    /// @inheritdoc IEscrow
    function deposit(uint128 amount) external nonReentrant {
        _deposit(msg.sender, amount);
    }

    /// @inheritdoc IEscrow
    function depositFor(address payer, uint128 amount) external nonReentrant {
        require(payer != address(0), Escrow_ZeroAddress());
        _deposit(payer, amount);
    }

    /// @inheritdoc IEscrow
    function depositWithPermit(uint128 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external nonReentrant {
        // Whoever copies the permit from the mempool and spends it first must not stop the deposit.
        try IERC20Permit(currency).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _deposit(msg.sender, amount);
    }

    // ======================================================================================== allotting and taking back
    /// @inheritdoc IEscrow
    function allot(address[] calldata payees_, uint128[] calldata amounts) external {
        _checkLengths(payees_, amounts);
        for (uint256 i = 0; i < payees_.length; ++i) {
            require(payees_[i] != address(0), Escrow_ZeroAddress());
            require(amounts[i] != 0, Escrow_ZeroAmount());
            require(amounts[i] <= free[msg.sender], Escrow_Overdraw(amounts[i], free[msg.sender]));
            free[msg.sender] -= amounts[i];
            uint128 allotted = _pairs[msg.sender][payees_[i]].allotted += amounts[i];
            emit Allotted(msg.sender, payees_[i], amounts[i], allotted);
        }
    }

    /// @inheritdoc IEscrow
    function requestThaw(address[] calldata payees_, uint128[] calldata amounts) external {
        _checkLengths(payees_, amounts);
        uint64 thawEnd = _now() + thawSeconds;
        for (uint256 i = 0; i < payees_.length; ++i) {
            Pair storage pair = _pairs[msg.sender][payees_[i]];
            // Clamped, not refused: a claim mined just before must not stop the payer's other rows.
            uint128 amount = _min(amounts[i], pair.allotted - pair.claimed);
            // One clock for all of it: no larger thaw under an older clock (P5).
            emit ThawRequested(msg.sender, payees_[i], pair.thawing, amount, amount == 0 ? 0 : thawEnd);
            (pair.thawing, pair.thawEnd) = (amount, amount == 0 ? 0 : thawEnd);
        }
    }

    /// @inheritdoc IEscrow
    function cancelThaw(address[] calldata payees_) external {
        for (uint256 i = 0; i < payees_.length; ++i) {
            Pair storage pair = _pairs[msg.sender][payees_[i]];
            require(pair.thawing != 0, Escrow_NothingThawing(payees_[i]));
            emit ThawCancelled(msg.sender, payees_[i], pair.thawing);
            (pair.thawing, pair.thawEnd) = (0, 0);
        }
    }

    /// @inheritdoc IEscrow
    function withdraw(address[] calldata payees_, address to) external nonReentrant {
        require(to != address(0), Escrow_ZeroAddress());
        for (uint256 i = 0; i < payees_.length; ++i) {
            _finishThaw(payees_[i]);
        }
        uint128 amount = free[msg.sender];
        require(amount != 0, Escrow_NothingToWithdraw());
        free[msg.sender] = 0;
        emit Withdrawn(msg.sender, to, amount);
        _pay(to, amount);
    }

    // ============================================================================================================ views
    /// @inheritdoc IEscrow
    function pairs(address payer, address payee) external view returns (PairState memory) {
        Pair storage pair = _pairs[payer][payee];
        return PairState(pair.allotted, pair.claimed, pair.thawing, pair.thawEnd);
    }

    /// @inheritdoc IEscrow
    function cover(address payer, address payee) external view returns (uint128) {
        Pair storage pair = _pairs[payer][payee];
        return pair.allotted - pair.thawing;
    }

    // ======================================================================================================== internals
    function _deposit(address payer, uint128 amount) private {
        require(amount != 0, Escrow_ZeroAmount());
        free[payer] += amount;
        emit Deposited(payer, msg.sender, amount);
        uint256 before = IERC20(currency).balanceOf(address(this));
        IERC20(currency).safeTransferFrom(msg.sender, address(this), amount);
        uint256 balance = IERC20(currency).balanceOf(address(this));
        _checkMoved(amount, balance - before);
        // Every sum of balances fits u128 from here on, so no claim and no collection can overflow (INV7).
        require(balance <= type(uint128).max, Escrow_SupplyTooLarge(balance));
    }

    /// @dev A currency that takes more than it was told to would take it from other users.
    function _pay(address to, uint128 amount) internal {
        uint256 before = IERC20(currency).balanceOf(address(this));
        IERC20(currency).safeTransfer(to, amount);
        _checkMoved(amount, before - IERC20(currency).balanceOf(address(this)));
    }

    function _finishThaw(address payee) private {
        Pair storage pair = _pairs[msg.sender][payee];
        if (pair.thawing == 0 || _now() < pair.thawEnd) return;
        uint128 amount = _min(pair.thawing, pair.allotted - pair.claimed);
        pair.allotted -= amount;
        (pair.thawing, pair.thawEnd) = (0, 0);
        free[msg.sender] += amount;
        emit ThawFinished(msg.sender, payee, amount, pair.allotted);
    }

    function _checkLengths(address[] calldata payees_, uint128[] calldata amounts) private pure {
        require(payees_.length == amounts.length, Escrow_LengthMismatch(payees_.length, amounts.length));
    }

    function _checkMoved(uint256 asked, uint256 moved) internal pure {
        require(moved == asked, Escrow_AmountMismatch(asked, moved));
    }
}
