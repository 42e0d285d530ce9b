// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IDuels, Side, State} from "../interfaces/IDuels.sol";
import {Trials} from "./Trials.sol";

/// @title Faults
/// @notice What needs no jury, because the culprit's own signature or call proves it. Anyone reports; a part of the slash is
/// the reporter's, the rest is burnt, so that reporting oneself never pays.
abstract contract Faults is Trials {
    // ---------------------------------------------------------------------------------------------------- constants
    uint8 private constant UNREVEALED = 1;
    uint8 private constant WRONG_DRAW = 2;
    uint8 private constant TWO_ANSWERS = 3;

    // ------------------------------------------------------------------------------------------------------ storage
    /// @dev By occurrence, so that a second offence can be proven, and by fault, so that none hides another.
    mapping(uint8 fault => mapping(bytes32 occurrence => bool)) private _proven;

    // ======================================================================================================= faults
    /// @inheritdoc IDuels
    function reportUnrevealed(address dispatcher, uint32 epoch) external nonReentrant {
        Seed storage seed = _committed(dispatcher, epoch);
        require(!seed.revealed, Duels_SeedRevealed(epoch));
        require(block.timestamp > _revealUntil(epoch), Duels_RevealNotOver(_revealUntil(epoch)));
        _punish(dispatcher, UNREVEALED, keccak256(abi.encode(dispatcher, epoch)));
    }

    /// @inheritdoc IDuels
    function reportWrongDraw(bytes32 duelId, bytes32 seed, bytes32 requestId, bytes32 nonceCommit)
        external
        nonReentrant
    {
        Duel memory self = _duels[duelId];
        require(self.state != State.None, Duels_WrongState(self.state));
        address dispatcher = _members[self.dispatcher].provider;
        Seed storage state = _committed(dispatcher, self.epoch);
        _checkSeed(state, dispatcher, self.epoch, seed);
        require(self.origin == _origin(requestId, nonceCommit), Duels_NoFault());
        bytes32 point = keccak256(abi.encode(seed, requestId, nonceCommit));
        bool isDue = uint256(point) % PER_MILLE < state.ratePerMille;
        require(!isDue || _opponent(self, point) != self.second, Duels_NoFault());
        _punish(dispatcher, WRONG_DRAW, duelId);
    }

    /// @inheritdoc IDuels
    function reportTwoAnswers(
        address payer,
        bytes32 requestId,
        bytes32[2] calldata requestHashes,
        bytes32[2] calldata models,
        Side[2] calldata sides
    ) external nonReentrant {
        bytes32 occurrence = _occurrence(payer, requestId, sides[0]);
        require(occurrence == _occurrence(payer, requestId, sides[1]), Duels_NoContradiction());
        bytes32 one = _answerHash(payer, requestId, requestHashes[0], models[0], sides[0]);
        bytes32 other = _answerHash(payer, requestId, requestHashes[1], models[1], sides[1]);
        require(one != other, Duels_NoContradiction());
        _checkSigned(sides[0], one);
        _checkSigned(sides[1], other);
        _punish(sides[0].executor, TWO_ANSWERS, occurrence);
    }

    // ==================================================================================================== internals
    /// @dev Which place the dispatcher's seed gives, at the attempt it says it needed.
    function _opponent(Duel memory self, bytes32 point) private view returns (uint16) {
        return _draw(self.epoch - 1, uint256(keccak256(abi.encode(point, self.attempt))));
    }

    function _occurrence(address payer, bytes32 requestId, Side calldata side) private pure returns (bytes32) {
        return keccak256(abi.encode(side.executor, payer, side.lane, side.generation, requestId));
    }

    function _punish(address culprit, uint8 fault, bytes32 occurrence) private {
        require(!_proven[fault][occurrence], Duels_AlreadyProven(occurrence));
        _proven[fault][occurrence] = true;
        uint128 slashed = _slashable(culprit, _faultSlash);
        uint128 bounty = slashed * JUDGES_PER_MILLE / PER_MILLE;
        _credit(msg.sender, bounty);
        emit FaultProven(culprit, fault, occurrence, slashed, bounty);
        _slash(culprit, slashed, bounty);
    }
}
