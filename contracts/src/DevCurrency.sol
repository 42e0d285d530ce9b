// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

/// @title DevCurrency
/// @notice Play money for a development chain: anyone mints, and only where the chain id is 31337. Never a real currency.
contract DevCurrency is ERC20Permit {
    error DevCurrency_NotDevelopmentChain(uint256 chainId);

    /// @dev The chain id that anvil and Hardhat use by default.
    uint256 private constant DEVELOPMENT_CHAIN_ID = 31_337;

    constructor() ERC20("Development Currency", "DEV") ERC20Permit("Development Currency") {}

    /// @notice Creates `amount` for `to`.
    function mint(address to, uint256 amount) external {
        require(block.chainid == DEVELOPMENT_CHAIN_ID, DevCurrency_NotDevelopmentChain(block.chainid));
        _mint(to, amount);
    }

    /// @notice Six, like the dollar currencies it stands for.
    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
