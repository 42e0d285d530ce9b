// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DevCurrency} from "../../src/DevCurrency.sol";
import {EscrowTimes, IEscrow} from "../../src/interfaces/IEscrow.sol";
import {IRegistry, RegistryTimes} from "../../src/interfaces/IRegistry.sol";
import {Fixture} from "../base/Fixture.sol";
import {TypedData} from "../base/TypedData.sol";

/// @notice A deployment set knows itself, or does not come into being.
contract DeploymentTest is Fixture {
    function test_deployment__set__knowsItself() public view {
        assertEq(escrow.currency(), address(currency));
        assertEq(escrow.registry(), address(registry));
        assertEq(escrow.duels(), duels);
        assertEq(registry.escrow(), address(escrow));
        assertEq(registry.currency(), address(currency));
        assertEq(registry.duels(), duels);
        assertEq(registry.minStake(), MIN_STAKE);
    }

    function test_deployment__times__arePublic() public view {
        assertEq(escrow.thawSeconds(), W);
        assertEq(escrow.holdSeconds(), D);
        assertEq(escrow.payoutDelaySeconds(), PAYOUT_DELAY);
        assertEq(registry.unbondingSeconds(), UNBONDING);
        assertEq(registry.disputeSeconds(), DISPUTE);
        assertEq(registry.appealSeconds(), APPEAL);
    }

    function test_deployment__domain__isTheLiveOne() public {
        assertEq(escrow.domainSeparator(), TypedData.separator(31_337, address(escrow)));
        (, string memory name, string memory version, uint256 chainId, address verifying,,) =
            IERC5267(address(escrow)).eip712Domain();
        assertEq(abi.encode(name, version, chainId, verifying), abi.encode("wwwserve", "1", 31_337, address(escrow)));
        vm.chainId(1);
        assertEq(escrow.domainSeparator(), TypedData.separator(1, address(escrow)));
    }

    function test_deployment__codeSize__fitsEveryChain() public view {
        assertLt(address(escrow).code.length, 24_576);
        assertLt(address(registry).code.length, 24_576);
    }

    // ----------------------------------------------------------------------------------------------- escrow refuses
    function test_deployment__escrowWithoutCurrencyOrRegistry__reverts() public {
        bytes memory zero = abi.encodeWithSelector(IEscrow.Escrow_ZeroAddress.selector);
        _expectEscrow(zero, address(0), address(1), EscrowTimes(W, D, PAYOUT_DELAY));
        _expectEscrow(zero, address(currency), address(0), EscrowTimes(W, D, PAYOUT_DELAY));
    }

    function test_deployment__escrowTimes__areBounded() public {
        uint64 tooLong = 90 days + 1;
        _expectTime(0, EscrowTimes(0, D, PAYOUT_DELAY));
        _expectTime(0, EscrowTimes(W, 0, PAYOUT_DELAY));
        _expectTime(0, EscrowTimes(W, D, 0));
        _expectTime(tooLong, EscrowTimes(tooLong, D, PAYOUT_DELAY));
        _expectTime(tooLong, EscrowTimes(W, tooLong, PAYOUT_DELAY));
        _expectTime(tooLong, EscrowTimes(W, D, tooLong));
        this.deployEscrow(address(currency), address(1), EscrowTimes(90 days, 90 days, 90 days));
    }

    // --------------------------------------------------------------------------------------------- registry refuses
    function test_deployment__registryOfAnotherSet__reverts() public {
        vm.expectRevert(IRegistry.Registry_WrongSet.selector);
        this.deployRegistry(address(escrow), 1, RegistryTimes(UNBONDING, DISPUTE, APPEAL));
    }

    function test_deployment__registryWithoutMinStake__reverts() public {
        address next = _escrowForNextRegistry(W, D);
        vm.expectRevert(IRegistry.Registry_ZeroMinStake.selector);
        this.deployRegistry(next, 0, RegistryTimes(UNBONDING, DISPUTE, APPEAL));
    }

    function test_deployment__registryTimes__areBounded() public {
        uint64 tooLong = 365 days + 1;
        _expectRegistryTime(0, RegistryTimes(0, DISPUTE, APPEAL));
        _expectRegistryTime(0, RegistryTimes(UNBONDING, 0, APPEAL));
        _expectRegistryTime(0, RegistryTimes(UNBONDING, DISPUTE, 0));
        _expectRegistryTime(tooLong, RegistryTimes(tooLong, DISPUTE, APPEAL));
        this.deployRegistry(_escrowForNextRegistry(W, D), 1, RegistryTimes(365 days, DISPUTE, APPEAL));
    }

    /// @dev D4: unbonding outlasts the longest window that can still find a fault, by 48 hours.
    function test_deployment__windowsOutOfOrder__reverts() public {
        _expectOrder(3 days, 2 days);
        _expectOrder(2 days, 3 days);
    }

    // ------------------------------------------------------------------------------------------------- dev currency
    function test_devCurrency__elsewhere__mintsNothing() public {
        vm.chainId(1);
        vm.expectRevert(abi.encodeWithSelector(DevCurrency.DevCurrency_NotDevelopmentChain.selector, 1));
        currency.mint(stranger, 1);
    }

    function test_devCurrency__here__mintsAndHasSixDecimals() public {
        currency.mint(stranger, 1);
        assertEq(currency.balanceOf(stranger), 1);
        assertEq(currency.decimals(), 6);
        assertEq(currency.symbol(), "DEV");
    }

    // ----------------------------------------------------------------------------------------------------- helpers
    function deployEscrow(address currency_, address registry_, EscrowTimes memory times) public returns (address) {
        return _create("Escrow.sol:Escrow", abi.encode(currency_, registry_, duels, times));
    }

    function deployRegistry(address escrow_, uint128 minStake, RegistryTimes memory times) public returns (address) {
        return _create("Registry.sol:Registry", abi.encode(escrow_, minStake, times));
    }

    /// @dev Like `deployCode`, with the constructor's own error.
    function _create(string memory what, bytes memory arguments) private returns (address made) {
        bytes memory code = bytes.concat(vm.getCode(what), arguments);
        assembly ("memory-safe") {
            made := create(0, add(code, 0x20), mload(code))
            if iszero(made) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    function _escrowForNextRegistry(uint64 thaw, uint64 hold) private returns (address) {
        address predicted = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        return this.deployEscrow(address(currency), predicted, EscrowTimes(thaw, hold, PAYOUT_DELAY));
    }

    function _expectEscrow(bytes memory reason, address currency_, address registry_, EscrowTimes memory times)
        private
    {
        vm.expectRevert(reason);
        this.deployEscrow(currency_, registry_, times);
    }

    function _expectTime(uint64 time, EscrowTimes memory times) private {
        _expectEscrow(
            abi.encodeWithSelector(IEscrow.Escrow_TimeOutOfBounds.selector, time),
            address(currency),
            address(registry),
            times
        );
    }

    function _expectRegistryTime(uint64 time, RegistryTimes memory times) private {
        address next = _escrowForNextRegistry(W, D);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_TimeOutOfBounds.selector, time));
        this.deployRegistry(next, 1, times);
    }

    function _expectOrder(uint64 thaw, uint64 hold) private {
        uint64 needed = 3 days + DISPUTE + APPEAL + 48 hours;
        address next = _escrowForNextRegistry(thaw, hold);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_WindowsOutOfOrder.selector, needed - 1, needed));
        this.deployRegistry(next, 1, RegistryTimes(needed - 1, DISPUTE, APPEAL));
        next = _escrowForNextRegistry(thaw, hold);
        this.deployRegistry(next, 1, RegistryTimes(needed, DISPUTE, APPEAL));
    }
}

interface IERC5267 {
    function eip712Domain()
        external
        view
        returns (bytes1, string memory, string memory, uint256, address, bytes32, uint256[] memory);
}
