// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IDuels} from "../interfaces/IDuels.sol";
import {Members} from "./Members.sol";

/// @title Seeds
/// @notice Which requests are duelled is fixed before they exist: every dispatcher commits to a seed an epoch ahead and
/// reveals it after it, so that anyone recomputes which requests had to be duels, and against whom (D6).
abstract contract Seeds is Members {
    // -------------------------------------------------------------------------------------------------------- types
    struct Seed {
        bytes28 commitment;
        uint16 ratePerMille;
        bool revealed;
    }

    // ---------------------------------------------------------------------------------------------------- constants
    uint16 internal constant PER_MILLE = 1000;

    // ------------------------------------------------------------------------------------------------------ storage
    mapping(address dispatcher => mapping(uint32 epoch => Seed)) public seedOf;

    // ======================================================================================================== seeds
    /// @inheritdoc IDuels
    function commitSeed(address dispatcher, bytes32 commitment, uint16 ratePerMille) external {
        (uint16 place,) = _active(dispatcher);
        _checkActor(place);
        require(ratePerMille != 0 && ratePerMille <= PER_MILLE, Duels_RateOutOfBounds(ratePerMille));
        uint32 epoch = _epoch() + 1;
        Seed storage seed = seedOf[dispatcher][epoch];
        require(seed.ratePerMille == 0, Duels_SeedCommitted(epoch));
        (seed.commitment, seed.ratePerMille) = (bytes28(commitment), ratePerMille);
        emit SeedCommitted(dispatcher, epoch, commitment, ratePerMille);
    }

    /// @inheritdoc IDuels
    function revealSeed(address dispatcher, uint32 epoch, bytes32 seed) external {
        require(_epoch() > epoch, Duels_EpochNotOver(epoch));
        require(block.timestamp <= _revealUntil(epoch), Duels_RevealTooLate(_revealUntil(epoch)));
        Seed storage state = _committed(dispatcher, epoch);
        require(!state.revealed, Duels_SeedRevealed(epoch));
        _checkSeed(state, dispatcher, epoch, seed);
        state.revealed = true;
        emit SeedRevealed(dispatcher, epoch, seed);
    }

    // ==================================================================================================== internals
    function _committed(address dispatcher, uint32 epoch) internal view returns (Seed storage seed) {
        seed = seedOf[dispatcher][epoch];
        require(seed.ratePerMille != 0, Duels_NoSeed(dispatcher, epoch));
    }

    function _checkSeed(Seed storage state, address dispatcher, uint32 epoch, bytes32 seed) internal view {
        bytes32 found = keccak256(abi.encode(block.chainid, address(this), dispatcher, epoch, seed));
        require(bytes28(found) == state.commitment, Duels_WrongSeed());
    }

    /// @dev The second half of the next epoch is left for reports, while the snapshot is still there.
    function _revealUntil(uint32 epoch) internal view returns (uint64) {
        return (uint64(epoch) + 1) * _epochSeconds + _epochSeconds / 2;
    }
}
