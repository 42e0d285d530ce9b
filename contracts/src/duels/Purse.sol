// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {IDuels} from "../interfaces/IDuels.sol";
import {IRegistry} from "../interfaces/IRegistry.sol";
import {Settings} from "./Settings.sol";

/// @title Purse
/// @notice Balances that bonds are locked from and rewards are added to, and every movement of the currency itself.
/// It knows nothing of duels.
abstract contract Purse is Settings, ReentrancyGuard {
    using SafeERC20 for IERC20;

    // ------------------------------------------------------------------------------------------------------ storage
    mapping(address account => uint128) public balances;
    uint256 public burnt;

    // ======================================================================================================== money
    /// @inheritdoc IDuels
    function fund(address account, uint128 amount) external nonReentrant {
        require(account != address(0), Duels_ZeroAddress());
        require(amount != 0, Duels_ZeroAmount());
        balances[account] += amount;
        emit Funded(account, msg.sender, amount);
        uint256 before = _held();
        IERC20(currency).safeTransferFrom(msg.sender, address(this), amount);
        _checkMoved(amount, _held() - before);
    }

    /// @inheritdoc IDuels
    function collect(address to) external nonReentrant {
        require(to != address(0), Duels_ZeroAddress());
        uint128 amount = balances[msg.sender];
        require(amount != 0, Duels_ZeroAmount());
        balances[msg.sender] = 0;
        emit Collected(msg.sender, to, amount);
        uint256 before = _held();
        IERC20(currency).safeTransfer(to, amount);
        _checkMoved(amount, before - _held());
    }

    // ==================================================================================================== internals
    function _lock(address account, uint128 amount) internal {
        uint128 balance = balances[account];
        require(amount <= balance, Duels_Overdraw(amount, balance));
        balances[account] = balance - amount;
    }

    function _credit(address account, uint128 amount) internal {
        balances[account] += amount;
    }

    function _burn(uint128 amount) internal {
        burnt += amount;
    }

    /// @dev What can be taken of `asked`. Asked for before a slash is split, so that the burnt part is never the short one.
    function _slashable(address culprit, uint128 asked) internal view returns (uint128) {
        return _min(asked, IRegistry(registry).slashable(culprit));
    }

    /// @dev Of `total`, `paid` comes here to be credited and the registry keeps the rest for ever.
    function _slash(address culprit, uint128 total, uint128 paid) internal {
        uint256 before = _held();
        IRegistry(registry).slash(culprit, paid, total - paid);
        _checkMoved(paid, _held() - before);
    }

    /// @dev Slashes to burn: nothing comes here, so nothing has to be counted.
    function _slashToBurn(address culprit, uint128 amount) internal {
        IRegistry(registry).slash(culprit, 0, amount);
    }

    function _held() private view returns (uint256) {
        return IERC20(currency).balanceOf(address(this));
    }

    function _checkMoved(uint256 asked, uint256 moved) private pure {
        require(moved == asked, Duels_AmountMismatch(asked, moved));
    }
}
