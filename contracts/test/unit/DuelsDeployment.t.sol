// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DuelAmounts, DuelTimes, IDuels} from "../../src/interfaces/IDuels.sol";
import {DuelsFixture} from "../base/DuelsFixture.sol";

/// @notice A court knows its set, fits its windows, and bounds its own slashes, or does not come into being.
contract DuelsDeploymentTest is DuelsFixture {
    function test_deployment__court__knowsItsSet() public view {
        assertEq(court.registry(), address(registry));
        assertEq(court.escrow(), address(escrow));
        assertEq(court.currency(), address(currency));
        assertEq(registry.duels(), address(court));
        assertEq(escrow.duels(), address(court));
        assertEq(court.weightUnit(), MIN_STAKE / 1000);
    }

    function test_deployment__court__showsItsSetting() public view {
        assertEq(abi.encode(court.times()), abi.encode(_times()));
        assertEq(abi.encode(court.amounts()), abi.encode(_amounts()));
        assertEq(court.disputeSeconds(), 1 hours + COMMIT + REVEAL);
        assertEq(court.appealSeconds(), APPEALING + 1 hours + COMMIT + REVEAL);
    }

    function test_deployment__court__fitsTheSizeLimit() public view {
        assertLt(address(court).code.length, 24_576);
    }

    function test_deployment__courtOfAnotherSet__reverts() public {
        _reverts(_times(), _amounts(), abi.encodeWithSelector(IDuels.Duels_WrongSet.selector), false);
    }

    function test_deployment__courtTimes__areBounded() public {
        for (uint256 which = 0; which < 5; ++which) {
            _refuseTime(which, 0);
            _refuseTime(which, which == 4 ? 129 : 90 days + 1);
        }
    }

    /// @dev D4: stake waits for the last verdict.
    function test_deployment__courtSlowerThanTheRegistryWaits__reverts() public {
        DuelTimes memory slow = _times();
        slow.commit = DISPUTE - REVEAL - 1 hours + 1;
        uint256 needed = uint256(DISPUTE) + 1;
        _reverts(slow, _amounts(), _outOfOrder(needed, DISPUTE), true);
        slow = _times();
        slow.appeal = APPEAL - COMMIT - REVEAL - 1 hours + 1;
        _reverts(slow, _amounts(), _outOfOrder(uint256(APPEAL) + 1, APPEAL), true);
    }

    function test_deployment__courtAmountsOutOfOrder__reverts() public {
        for (uint256 which = 0; which < 10; ++which) {
            DuelAmounts memory a = _amounts();
            if (which == 0) a.judgeFee = 0;
            if (which == 1) a.loserSlash = 0;
            if (which == 2) a.minoritySlash = 0;
            if (which == 3) a.faultSlash = 0;
            if (which == 4) a.bond = 5 * FEE - 1;
            if (which == 5) a.appealBond = 15 * FEE - 1;
            if (which == 6) a.silentSlash = MINORITY - 1;
            if (which == 7) a.loserSlash = MIN_STAKE / 20 + 1;
            if (which == 8) a.silentSlash = MIN_STAKE / 20 + 1;
            if (which == 9) a.faultSlash = MIN_STAKE + 1;
            _reverts(_times(), a, abi.encodeWithSelector(IDuels.Duels_AmountsOutOfOrder.selector), true);
        }
    }

    function _refuseTime(uint256 which, uint64 value) private {
        DuelTimes memory t = _times();
        if (which == 0) t.epoch = value;
        if (which == 1) t.commit = value;
        if (which == 2) t.reveal = value;
        if (which == 3) t.appeal = value;
        if (which == 4) t.drawDelay = value;
        _reverts(t, _amounts(), abi.encodeWithSelector(IDuels.Duels_TimeOutOfBounds.selector, value), true);
    }

    function _outOfOrder(uint256 needed, uint256 limit) private pure returns (bytes memory) {
        return abi.encodeWithSelector(IDuels.Duels_WindowsOutOfOrder.selector, needed, limit);
    }

    /// @dev With `isExpected` at the address the registry names; the code there is taken away first.
    function _reverts(DuelTimes memory times, DuelAmounts memory amounts, bytes memory reason_, bool isExpected)
        private
    {
        bytes memory creation =
            bytes.concat(vm.getCode("Duels.sol:Duels"), abi.encode(address(registry), times, amounts));
        if (isExpected) {
            address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
            vm.mockCall(address(registry), abi.encodeCall(registry.duels, ()), abi.encode(next));
        }
        address made;
        bytes memory reason;
        assembly ("memory-safe") {
            made := create(0, add(creation, 0x20), mload(creation))
            reason := mload(0x40)
            mstore(reason, returndatasize())
            returndatacopy(add(reason, 0x20), 0, returndatasize())
            mstore(0x40, add(reason, and(add(returndatasize(), 0x5f), not(0x1f))))
        }
        vm.clearMockedCalls();
        assertEq(made, address(0));
        assertEq(reason, reason_);
    }
}
