// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IDuels, State, Vote} from "../interfaces/IDuels.sol";
import {Docket} from "./Docket.sol";

/// @title Trials
/// @notice Judges are drawn, commit to a vote and reveal it; who disagrees with the verdict asks for a jury.
abstract contract Trials is Docket {
    // ---------------------------------------------------------------------------------------------------- constants
    /// @dev A seat drawn for a party's controller is drawn again, this often on average: with 7/8 of the weight excluded a
    /// jury is still found.
    uint256 private constant TRIES_PER_SEAT = 16;

    // ====================================================================================================== drawing
    /// @inheritdoc IDuels
    function draw(bytes32 duelId) external {
        Duel storage self = _duels[duelId];
        if (self.state == State.Opened) {
            uint256 seats = _seat(duelId, self.mark, self.epoch, JUDGES);
            (self.state, self.mark, self.seats) = (State.Judging, _now(), uint80(seats));
        } else {
            require(self.state == State.Appealed, Duels_WrongState(self.state));
            SecondTrial storage second = _appeals[duelId];
            uint256 seats = _seat(duelId, second.mark, second.epoch, JURY);
            self.state = State.Retrial;
            (second.mark, second.seats) = (_now(), uint240(seats));
        }
    }

    /// @dev With replacement, in proportion to the weights at the end of the epoch before the opening (D2, D7): whoever
    /// could buy stake or know the block's hash could not do so in time.
    function _seat(bytes32 duelId, uint256 drawBlock, uint32 epoch, uint256 count) private returns (uint256 seats) {
        uint256 seed = uint256(keccak256(abi.encode(_hashOf(drawBlock), duelId)));
        address[3] memory excluded = _excluded(_duels[duelId]);
        uint256 total = _snapshotTotal(epoch - 1);
        uint256 found = 0;
        for (uint256 i = 0; found < count; ++i) {
            require(i < count * TRIES_PER_SEAT, Duels_NoJudges());
            uint16 place = _placeAt(epoch - 1, uint256(keccak256(abi.encode(seed, i))) % total);
            if (_isAmong(excluded, _controllerOf(place))) continue;
            seats |= uint256(place) << (SEAT_BITS * found++);
        }
        emit Drawn(duelId, seed, seats, _now() + _commitSeconds);
    }

    function _hashOf(uint256 drawBlock) private view returns (bytes32 hash) {
        require(block.number > drawBlock, Duels_DrawNotYet(uint64(drawBlock)));
        require(block.number <= drawBlock + HASH_BLOCKS, Duels_DrawMissed(uint64(drawBlock)));
        return blockhash(drawBlock);
    }

    function _excluded(Duel storage self) private view returns (address[3] memory) {
        return [_controllerOf(self.dispatcher), _controllerOf(self.first), _controllerOf(self.second)];
    }

    function _isAmong(address[3] memory excluded, address controller) private pure returns (bool) {
        return controller == excluded[0] || controller == excluded[1] || controller == excluded[2];
    }

    // ======================================================================================================= voting
    /// @inheritdoc IDuels
    function commit(bytes32 duelId, uint8 seat, bytes32 commitment) external {
        (uint16 place, uint64 drawnAt) = _seated(duelId, seat);
        address judge = _checkActor(place);
        (uint64 commitEnd,) = _ends(drawnAt);
        require(_now() < commitEnd, Duels_TooLate(commitEnd));
        require(commitmentOf[duelId][seat] == 0, Duels_AlreadyCommitted(seat));
        commitmentOf[duelId][seat] = commitment;
        emit Committed(duelId, seat, judge, commitment);
    }

    /// @inheritdoc IDuels
    function reveal(bytes32 duelId, uint8 seat, Vote vote, bytes32 salt, bytes32 rationaleHash) external {
        (uint16 place, uint64 drawnAt) = _seated(duelId, seat);
        (uint64 commitEnd, uint64 revealEnd) = _ends(drawnAt);
        require(_now() >= commitEnd, Duels_TooEarly(commitEnd));
        require(_now() < revealEnd, Duels_TooLate(revealEnd));
        require(vote != Vote.None, Duels_BadVote(vote));
        address judge = _members[place].provider;
        // The judge is part of it: a copied commitment cannot be revealed by the copier (D9).
        bytes32 found = keccak256(abi.encode(block.chainid, address(this), duelId, judge, vote, salt, rationaleHash));
        require(found == commitmentOf[duelId][seat], Duels_NotCommitted(seat));
        delete commitmentOf[duelId][seat];
        _record(duelId, seat, vote);
        emit Revealed(duelId, seat, judge, vote, rationaleHash);
    }

    function _record(bytes32 duelId, uint8 seat, Vote vote) private {
        if (seat < JUDGES) {
            _duels[duelId].votes |= uint40(uint256(vote) << (VOTE_BITS * seat));
        } else {
            _appeals[duelId].votes |= uint120(uint256(vote) << (VOTE_BITS * (seat - JUDGES)));
        }
    }

    /// @dev Who sits where, and since when, in the trial that runs.
    function _seated(bytes32 duelId, uint8 seat) private view returns (uint16 place, uint64 drawnAt) {
        Duel storage self = _duels[duelId];
        State expected = seat < JUDGES ? State.Judging : State.Retrial;
        require(self.state == expected, Duels_WrongState(self.state));
        if (seat < JUDGES) return (_seatPlace(self.seats, seat), self.mark);
        require(seat < JUDGES + JURY, Duels_NoSuchSeat(seat));
        SecondTrial storage second = _appeals[duelId];
        return (_seatPlace(second.seats, seat - JUDGES), second.mark);
    }

    // ==================================================================================================== appealing
    /// @inheritdoc IDuels
    function appeal(bytes32 duelId, address appellant) external {
        if (msg.sender != appellant) _checkActor(_placeOf(appellant));
        Duel storage self = _duels[duelId];
        require(self.state == State.Judging, Duels_WrongState(self.state));
        (, uint64 from) = _ends(self.mark);
        require(_now() >= from, Duels_TooEarly(from));
        require(_now() < from + _appealWindow, Duels_TooLate(from + _appealWindow));
        _lock(appellant, _appealBond);
        self.state = State.Appealed;
        SecondTrial storage second = _appeals[duelId];
        (second.appellant, second.epoch) = (appellant, _epoch());
        second.mark = uint40(block.number + _drawDelay);
        emit AppealOpened(duelId, appellant, _verdict(self.votes, JUDGES), second.mark);
    }

    // ==================================================================================================== internals
    /// @dev Enough equal votes decide, enough "no evidence" voids, else it is a tie and executors lose nothing.
    function _verdict(uint256 votes, uint256 size) internal pure returns (State) {
        (uint256 needed, uint256 voiding) = size == JUDGES ? (4, 3) : (10, 9);
        if (_count(votes, size, Vote.NoEvidence) >= voiding) return State.Voided;
        if (_count(votes, size, Vote.First) >= needed) return State.FirstWon;
        return _count(votes, size, Vote.Second) >= needed ? State.SecondWon : State.Tied;
    }

    function _count(uint256 votes, uint256 size, Vote vote) internal pure returns (uint256 count) {
        for (uint256 i = 0; i < size; ++i) {
            if (_voteOf(votes, i) == vote) ++count;
        }
    }

    function _voteOf(uint256 votes, uint256 seat) internal pure returns (Vote) {
        return Vote(uint8(votes >> (VOTE_BITS * seat)));
    }
}
