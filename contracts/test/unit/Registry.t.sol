// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IRegistry, Provider} from "../../src/interfaces/IRegistry.sol";
import {Fixture} from "../base/Fixture.sol";

/// @notice Every branch of `Registry.sol`, named as in `trees/`.
contract RegistryTest is Fixture {
    string private constant URL = "https://node.example";

    // ---------------------------------------------------------------------------------------------------- register
    function test_register__listed__reverts() public {
        _register(payee, MIN_STAKE);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_AlreadyListed.selector, payee));
        registry.register(URL, 0, MIN_STAKE);
    }

    function test_register__lowStake__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_StakeTooLow.selector, MIN_STAKE - 1, MIN_STAKE));
        registry.register(URL, 0, MIN_STAKE - 1);
    }

    function test_register__badEndpoint__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_EndpointLength.selector, 0, 256));
        registry.register("", 0, MIN_STAKE);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_EndpointLength.selector, 257, 256));
        registry.register(string(new bytes(257)), 0, MIN_STAKE);
    }

    function test_register__enough__lists() public {
        currency.mint(payee, MIN_STAKE);
        vm.startPrank(payee);
        currency.approve(address(registry), MIN_STAKE);
        vm.expectEmit(address(registry));
        emit IRegistry.Registered(payee, URL, keccak256("offer"), MIN_STAKE);
        registry.register(URL, keccak256("offer"), MIN_STAKE);
        Provider memory expected = Provider(payee, true, 0, MIN_STAKE, 0, keccak256("offer"), URL);
        assertEq(abi.encode(registry.provider(payee)), abi.encode(expected));
        assertEq(currency.balanceOf(address(registry)), MIN_STAKE);
    }

    function test_register__longestEndpoint__lists() public {
        currency.mint(payee, MIN_STAKE);
        vm.startPrank(payee);
        currency.approve(address(registry), MIN_STAKE);
        registry.register(string(new bytes(256)), 0, MIN_STAKE);
        assertTrue(registry.provider(payee).listed);
    }

    // ------------------------------------------------------------------------------------------------------ setters
    function test_setEndpoint__notListed__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_NotListed.selector, address(this)));
        registry.setEndpoint(URL);
    }

    function test_setEndpoint__bad__reverts() public {
        _register(payee, MIN_STAKE);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_EndpointLength.selector, 0, 256));
        registry.setEndpoint("");
    }

    function test_setEndpoint__listed__sets() public {
        _register(payee, MIN_STAKE);
        vm.expectEmit(address(registry));
        emit IRegistry.EndpointSet(payee, URL, "https://b.example");
        vm.prank(payee);
        registry.setEndpoint("https://b.example");
        assertEq(registry.provider(payee).endpoint, "https://b.example");
    }

    function test_setOffer__notListed__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_NotListed.selector, address(this)));
        registry.setOffer(0);
    }

    function test_setOffer__listed__sets() public {
        _register(payee, MIN_STAKE);
        vm.expectEmit(address(registry));
        emit IRegistry.OfferSet(payee, keccak256("offer"), keccak256("next"));
        vm.prank(payee);
        registry.setOffer(keccak256("next"));
        assertEq(registry.provider(payee).offerHash, keccak256("next"));
    }

    function test_addStake__notListed__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_NotListed.selector, address(this)));
        registry.addStake(1);
    }

    function test_addStake__zero__reverts() public {
        _register(payee, MIN_STAKE);
        vm.prank(payee);
        vm.expectRevert(IRegistry.Registry_ZeroAmount.selector);
        registry.addStake(0);
    }

    function test_addStake__listed__adds() public {
        _register(payee, MIN_STAKE);
        currency.mint(payee, 5);
        vm.startPrank(payee);
        currency.approve(address(registry), 5);
        vm.expectEmit(address(registry));
        emit IRegistry.StakeAdded(payee, 5, MIN_STAKE + 5);
        registry.addStake(5);
        assertEq(registry.slashable(payee), MIN_STAKE + 5);
    }

    // ------------------------------------------------------------------------------------------------------ leaving
    function test_requestUnstake__notListed__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_NotListed.selector, address(this)));
        registry.requestUnstake(1);
    }

    function test_requestUnstake__zero__reverts() public {
        _register(payee, MIN_STAKE);
        vm.prank(payee);
        vm.expectRevert(IRegistry.Registry_ZeroAmount.selector);
        registry.requestUnstake(0);
    }

    function test_requestUnstake__moreThanStake__reverts() public {
        _register(payee, MIN_STAKE);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_Overdraw.selector, MIN_STAKE + 1, MIN_STAKE));
        registry.requestUnstake(MIN_STAKE + 1);
    }

    function test_requestUnstake__belowMinimum__reverts() public {
        _register(payee, MIN_STAKE + 5);
        vm.prank(payee);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_StakeTooLow.selector, MIN_STAKE - 1, MIN_STAKE));
        registry.requestUnstake(6);
    }

    function test_requestUnstake__again__restartsTheClockOfAll() public {
        _register(payee, MIN_STAKE + 10);
        vm.startPrank(payee);
        registry.requestUnstake(4);
        vm.warp(block.timestamp + UNBONDING - 1);
        vm.expectEmit(address(registry));
        emit IRegistry.UnstakeRequested(payee, 6, MIN_STAKE, 10, uint64(block.timestamp) + UNBONDING);
        registry.requestUnstake(6);
        vm.warp(block.timestamp + UNBONDING - 1);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_StillUnbonding.selector, uint64(block.timestamp) + 1));
        registry.withdrawStake(payee);
        vm.warp(block.timestamp + 1);
        registry.withdrawStake(payee);
        assertEq(currency.balanceOf(payee), 10);
        assertEq(registry.provider(payee).stake, MIN_STAKE);
    }

    function test_deregister__notListed__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_NotListed.selector, address(this)));
        registry.deregister();
    }

    function test_deregister__listed__delistsAtOnceAndUnbondsAll() public {
        _register(payee, MIN_STAKE);
        vm.expectEmit(address(registry));
        emit IRegistry.Deregistered(payee, MIN_STAKE, uint64(block.timestamp) + UNBONDING);
        vm.prank(payee);
        registry.deregister();
        Provider memory left = registry.provider(payee);
        assertFalse(left.listed);
        assertEq(left.stake, 0);
        assertEq(left.unbonding, MIN_STAKE);
        (, uint256 total) = registry.providers(0, 10);
        assertEq(total, 0);
    }

    function test_deregister__anyOfThree__keepsTheOthersListed() public {
        address[3] memory who = [payee, stranger, signer];
        for (uint256 gone = 0; gone < 3; ++gone) {
            uint256 snapshot = vm.snapshotState();
            for (uint256 i = 0; i < 3; ++i) {
                _register(who[i], MIN_STAKE + uint128(i));
            }
            vm.prank(who[gone]);
            registry.deregister();
            (Provider[] memory page, uint256 total) = registry.providers(0, 10);
            assertEq(total, 2);
            assertTrue(page[0].provider != page[1].provider);
            for (uint256 i = 0; i < 2; ++i) {
                assertTrue(page[i].provider != who[gone] && page[i].listed);
                vm.prank(page[i].provider);
                registry.deregister();
            }
            (, total) = registry.providers(0, 10);
            assertEq(total, 0);
            vm.revertToState(snapshot);
        }
    }

    function test_withdrawStake__toZero__reverts() public {
        vm.expectRevert(IRegistry.Registry_ZeroAddress.selector);
        registry.withdrawStake(address(0));
    }

    function test_withdrawStake__nothing__reverts() public {
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_NothingUnbonding.selector, address(this)));
        registry.withdrawStake(payee);
    }

    function test_withdrawStake__toTheRegistry__reverts() public {
        _register(payee, MIN_STAKE);
        vm.startPrank(payee);
        registry.deregister();
        vm.warp(block.timestamp + UNBONDING);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_AmountMismatch.selector, MIN_STAKE, 0));
        registry.withdrawStake(address(registry));
    }

    function test_withdrawStake__done__pays() public {
        _register(payee, MIN_STAKE);
        vm.startPrank(payee);
        registry.deregister();
        vm.warp(block.timestamp + UNBONDING);
        vm.expectEmit(address(registry));
        emit IRegistry.StakeWithdrawn(payee, stranger, MIN_STAKE);
        registry.withdrawStake(stranger);
        assertEq(currency.balanceOf(stranger), MIN_STAKE);
        assertEq(registry.slashable(payee), 0);
        assertEq(registry.provider(payee).unbondEnd, 0);
        vm.stopPrank();
        _register(payee, MIN_STAKE);
        assertTrue(registry.provider(payee).listed);
    }

    // -------------------------------------------------------------------------------------------------------- slash
    function test_slash__notSlasher__reverts() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IRegistry.Registry_NotSlasher.selector, stranger));
        registry.slash(payee, 1, 1);
    }

    function test_slash__byEscrow__isAllowed() public {
        _register(payee, MIN_STAKE);
        vm.prank(address(escrow));
        registry.slash(payee, 0, 1);
        assertEq(registry.burnt(), 1);
    }

    function test_slash__stakeFirst__thenUnbonding() public {
        _register(payee, MIN_STAKE + 10);
        vm.prank(payee);
        registry.requestUnstake(10);
        vm.expectEmit(address(registry));
        emit IRegistry.Slashed(payee, duels, 7, MIN_STAKE - 3, 0, 6);
        vm.prank(duels);
        (uint128 paid, uint128 burnt) = registry.slash(payee, 7, MIN_STAKE - 3);
        assertEq(paid, 7);
        assertEq(burnt, MIN_STAKE - 3);
        assertEq(currency.balanceOf(duels), 7);
        assertEq(registry.slashable(payee), 6);
    }

    /// @dev D5: a verdict never reverts for asking too much.
    function test_slash__moreThanThereIs__takesWhatThereIs() public {
        _register(payee, MIN_STAKE);
        vm.startPrank(duels);
        (uint128 paid, uint128 burnt) = registry.slash(payee, MIN_STAKE - 1, type(uint128).max);
        assertEq(paid, MIN_STAKE - 1);
        assertEq(burnt, 1);
        (paid, burnt) = registry.slash(payee, 1, 1);
        assertEq(paid + burnt, 0);
        vm.stopPrank();
        vm.prank(payee);
        registry.deregister();
        assertEq(registry.provider(payee).unbonding, 0);
    }

    // -------------------------------------------------------------------------------------------------------- views
    function test_providers__pages__listEverybodyOnce() public {
        for (uint160 i = 1; i <= 5; ++i) {
            _register(address(i << 20), MIN_STAKE + uint128(i));
        }
        (Provider[] memory page, uint256 total) = registry.providers(0, 2);
        assertEq(total, 5);
        assertEq(page.length, 2);
        (page,) = registry.providers(4, 2);
        assertEq(page.length, 1);
        assertEq(page[0].provider, address(uint160(5) << 20));
        assertEq(page[0].stake, MIN_STAKE + 5);
        (page,) = registry.providers(5, 2);
        assertEq(page.length, 0);
        (page,) = registry.providers(type(uint256).max, type(uint256).max);
        assertEq(page.length, 0);
        (page,) = registry.providers(0, type(uint256).max);
        assertEq(page.length, 5);
    }
}
