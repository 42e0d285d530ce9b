// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice Currencies that misbehave in one way each. Everybody may mint.
contract PlainToken is ERC20("Plain", "PLAIN") {
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @notice Keeps 1 % of every transfer from the receiver.
contract FeeToken is PlainToken {
    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from != address(0) && to != address(0)) super._update(to, address(0), amount / 100);
    }
}

/// @notice Takes one unit more from the sender than it was told, when the sender is a contract.
contract SurchargeToken is PlainToken {
    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (from.code.length != 0) super._update(from, address(0), 1);
    }
}

/// @notice Refuses transfers to listed accounts, as the large dollar currencies do.
contract BlacklistToken is PlainToken {
    error Blacklisted(address account);

    mapping(address account => bool) public isBlacklisted;

    function blacklist(address account) external {
        isBlacklisted[account] = true;
    }

    function _update(address from, address to, uint256 amount) internal override {
        require(!isBlacklisted[to] && !isBlacklisted[from], Blacklisted(to));
        super._update(from, to, amount);
    }
}

/// @notice Calls back whoever asked for it, in the middle of every transfer.
contract ReentrantToken is PlainToken {
    address private target;
    bytes private call;
    bool public succeeded;
    bytes public answer;
    /// @dev What the target paid out during such calls.
    uint256 public drawn;

    function onTransfer(address target_, bytes calldata call_) external {
        (target, call, succeeded) = (target_, call_, false);
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        if (target == address(0)) return;
        address once = target;
        target = address(0);
        uint256 before = balanceOf(once);
        (succeeded, answer) = once.call(call);
        uint256 left = balanceOf(once);
        if (left < before) drawn += before - left;
    }
}

/// @notice Says false instead of reverting.
contract FalseToken is PlainToken {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @notice Returns nothing from `transfer` and `transferFrom`, as some old currencies do. No permit either.
contract NoReturnToken {
    mapping(address account => uint256) public balanceOf;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}
