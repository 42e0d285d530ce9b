// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {DuelAmounts, DuelTimes, IDuels, State, Vote} from "./interfaces/IDuels.sol";
import {Faults} from "./duels/Faults.sol";
import {Settings} from "./duels/Settings.sol";

/// @title Duels
/// @notice See {IDuels}. Read it by story: `Settings`, `Purse` (money), `Members` (who is drawn), `Seeds` (which requests),
/// `Docket` (opening), `Trials` (judging), `Faults` (what needs no judge); here: how a duel ends.
contract Duels is Faults {
    constructor(address registry_, DuelTimes memory times_, DuelAmounts memory amounts_)
        Settings(registry_, times_, amounts_)
    {}

    // ======================================================================================================= ending
    /// @inheritdoc IDuels
    function finalize(bytes32 duelId) external nonReentrant {
        Duel memory self = _duels[duelId];
        SecondTrial memory second;
        if (self.state == State.Appealed || self.state == State.Retrial) second = _appeals[duelId];
        State outcome = _outcome(self, second);
        _duels[duelId].state = outcome;
        _settle(duelId, self, second, outcome);
    }

    /// @dev Reverts before the duel is due. Every state that is not final becomes due by itself, whoever has vanished.
    function _outcome(Duel memory self, SecondTrial memory second) private view returns (State) {
        if (self.state == State.Opened) {
            _checkMissed(self.mark);
            return State.Voided;
        }
        if (self.state == State.Judging) {
            (, uint64 revealEnd) = _ends(self.mark);
            _checkOver(revealEnd + _appealWindow);
        } else if (self.state == State.Appealed) {
            _checkMissed(second.mark);
        } else {
            require(self.state == State.Retrial, Duels_WrongState(self.state));
            (, uint64 retrialEnd) = _ends(second.mark);
            _checkOver(retrialEnd);
            return _verdict(second.votes, JURY);
        }
        return _verdict(self.votes, JUDGES);
    }

    /// @dev The balances first, then the event, then the slashes: the registry is called last.
    function _settle(bytes32 duelId, Duel memory self, SecondTrial memory second, State outcome) private {
        Vote right = outcome == State.FirstWon ? Vote.First : outcome == State.SecondWon ? Vote.Second : Vote.None;
        (uint128 slashed, uint128 prize, uint128 share, uint128 paid) = (0, 0, 0, 0);
        if (right != Vote.None) (slashed, prize, share, paid) = _sentence(self, second, right);
        uint128 bondBack = _settleBond(self, outcome, right, share);
        uint128 appealBack = _settleAppeal(self, second, outcome, right, share);
        emit Finalized(duelId, outcome, slashed, prize, share, bondBack, appealBack);
        if (right != Vote.None) _slash(_providerOf(right == Vote.First ? self.second : self.first), slashed, paid);
        _slashBench(self.seats, self.votes, self.seats == 0 ? 0 : JUDGES, right);
        _slashBench(second.seats, second.votes, second.seats == 0 ? 0 : JURY, right);
    }

    /// @dev The loser's slash: to the winner at most what the request cost, to every agreeing seat the same, the rest burnt.
    function _sentence(Duel memory self, SecondTrial memory second, Vote right)
        private
        returns (uint128 slashed, uint128 prize, uint128 share, uint128 paid)
    {
        bool isFirst = right == Vote.First;
        uint256 agreeing = _count(self.votes, JUDGES, right) + _count(second.votes, JURY, right);
        slashed = _slashable(_providerOf(isFirst ? self.second : self.first), _loserSlash);
        prize = _min(self.prize, slashed * WINNER_PER_MILLE / PER_MILLE);
        share = uint128(uint256(slashed * JUDGES_PER_MILLE / PER_MILLE) / agreeing);
        paid = prize + share * uint128(agreeing);
        _credit(_providerOf(isFirst ? self.first : self.second), prize);
    }

    /// @dev The dispatcher pays the judges that spoke; a void duel costs it all of the bond.
    function _settleBond(Duel memory self, State outcome, Vote right, uint128 share) private returns (uint128 back) {
        uint128 left = _bond - _payBench(self.seats, self.votes, JUDGES, right, share);
        if (outcome == State.Voided) {
            _burn(left);
        } else {
            back = left;
            _credit(_providerOf(self.dispatcher), back);
        }
    }

    /// @dev The appellant pays the jury; the rest is burnt unless the jury found otherwise than the judges.
    function _settleAppeal(Duel memory self, SecondTrial memory second, State outcome, Vote right, uint128 share)
        private
        returns (uint128 back)
    {
        if (second.appellant == address(0)) return 0;
        uint128 left = _appealBond - _payBench(second.seats, second.votes, JURY, right, share);
        if (outcome == _verdict(self.votes, JUDGES)) {
            _burn(left);
        } else {
            back = left;
            _credit(second.appellant, back);
        }
    }

    /// @dev Every seat that revealed gets the fee, and a share if it agreed. Returns the fees.
    function _payBench(uint256 seats, uint256 votes, uint256 size, Vote right, uint128 share)
        private
        returns (uint128 fees)
    {
        for (uint256 i = 0; i < size; ++i) {
            Vote vote = _voteOf(votes, i);
            if (vote == Vote.None) continue;
            fees += _judgeFee;
            _credit(_providerOf(_seatPlace(seats, i)), _judgeFee + (vote == right ? share : 0));
        }
    }

    /// @dev Silence always costs; dissent only from a verdict that names a winner.
    function _slashBench(uint256 seats, uint256 votes, uint256 size, Vote right) private {
        for (uint256 i = 0; i < size; ++i) {
            Vote vote = _voteOf(votes, i);
            uint128 amount = vote == Vote.None ? _silentSlash : vote == right ? 0 : _minoritySlash;
            if (vote != Vote.None && right == Vote.None) amount = 0;
            if (amount != 0) _slashToBurn(_providerOf(_seatPlace(seats, i)), amount);
        }
    }

    function _providerOf(uint256 place) private view returns (address) {
        return _members[place].provider;
    }

    function _checkMissed(uint64 drawBlock) private view {
        uint256 until = drawBlock + HASH_BLOCKS;
        require(block.number > until, Duels_DrawPossible(uint64(until)));
    }

    function _checkOver(uint64 end) private view {
        require(_now() >= end, Duels_TooEarly(end));
    }
}
