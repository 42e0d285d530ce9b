// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {ECDSA} from "solady/utils/ECDSA.sol";

import {DuelState, IDuels, Opening, Side, State, Vote} from "../interfaces/IDuels.sol";
import {GenerationState, IEscrow, Signature} from "../interfaces/IEscrow.sol";
import {Answer, Messages} from "../libraries/Messages.sol";
import {Purse} from "./Purse.sol";
import {Seeds} from "./Seeds.sol";

/// @title Docket
/// @notice The duels themselves: how they are stored, opened and read.
abstract contract Docket is Purse, Seeds {
    using Messages for Answer;

    // -------------------------------------------------------------------------------------------------------- types
    /// @dev Slot 0 is written at every step, slot 1 once. `mark` is the draw block, and the time of the draw after it.
    /// Seats are 16 bits, votes 8 bits each, the first seat lowest.
    struct Duel {
        uint16 dispatcher;
        uint16 first;
        uint16 second;
        State state;
        uint8 attempt;
        uint32 epoch;
        uint40 mark;
        uint80 seats;
        uint40 votes;
        uint160 origin;
        uint96 prize;
    }

    /// @dev The appeal's trial: the same words, for 15 seats.
    struct SecondTrial {
        address appellant;
        uint32 epoch;
        uint40 mark;
        uint240 seats;
        uint120 votes;
    }

    // ---------------------------------------------------------------------------------------------------- constants
    uint256 internal constant SEAT_BITS = 16;
    uint256 internal constant VOTE_BITS = 8;
    /// @dev Draws of a second executor: whom the first of them does not find, the dispatcher cannot choose either (D6).
    uint256 private constant MOST_ATTEMPTS = 8;
    /// @dev The winner's part of a loser's slash, at most; the judges' and a reporter's part. At least 30 % are burnt (D6).
    uint128 internal constant WINNER_PER_MILLE = 400;
    uint128 internal constant JUDGES_PER_MILLE = 300;

    // ------------------------------------------------------------------------------------------------------ storage
    mapping(bytes32 duelId => Duel) internal _duels;
    mapping(bytes32 duelId => SecondTrial) internal _appeals;
    mapping(bytes32 duelId => mapping(uint8 seat => bytes32)) public commitmentOf;

    // ====================================================================================================== opening
    /// @inheritdoc IDuels
    /// @dev Both executors have answered by now, and nothing on chain told them that they were duelling: the second one is
    /// drawn by the dispatcher's committed, still secret seed, which {IDuels-reportWrongDraw} checks once it is revealed.
    function open(Opening calldata opening) external returns (bytes32 duelId) {
        duelId = keccak256(abi.encode(opening.payer, opening.requestId));
        require(_duels[duelId].state == State.None, Duels_AlreadyOpened(duelId));
        Duel memory self = _parties(opening);
        _committed(opening.payer, self.epoch);
        bytes32 firstAnswer = _checkSide(opening, opening.first);
        bytes32 secondAnswer = _checkSide(opening, opening.second);
        _lock(opening.payer, _bond);
        _duels[duelId] = self;
        _emitOpened(duelId, opening, self, firstAnswer, secondAnswer);
        emit Asked(duelId, opening.model, opening.size);
    }

    function _parties(Opening calldata opening) private view returns (Duel memory self) {
        (self.dispatcher,) = _active(opening.payer);
        _checkActor(self.dispatcher);
        require(opening.attempt < MOST_ATTEMPTS, Duels_TooManyAttempts(opening.attempt));
        (self.first, self.second) = (_placeOf(opening.first.executor), _placeOf(opening.second.executor));
        _checkStrangers(self.dispatcher, self.first);
        _checkStrangers(self.dispatcher, self.second);
        _checkStrangers(self.first, self.second);
        (self.state, self.attempt, self.epoch) = (State.Opened, opening.attempt, _epoch());
        self.mark = uint40(block.number + _drawDelay);
        self.origin = _origin(opening.requestId, opening.first.nonceCommit);
        self.prize = uint96(_min(opening.fee, _loserSlash * WINNER_PER_MILLE / PER_MILLE));
    }

    /// @dev Both answers are to the same bytes and by the same model; both operators signed (P1 to P3 hold as for claims).
    function _checkSide(Opening calldata opening, Side calldata side) private view returns (bytes32 answer) {
        answer = _answerHash(opening.payer, opening.requestId, opening.requestHash, opening.model, side);
        _checkSigned(side, answer);
    }

    /// @dev A function of its own because thirteen fields leave no room on the stack.
    function _emitOpened(bytes32 duelId, Opening calldata opening, Duel memory self, bytes32 first, bytes32 second)
        private
    {
        emit Opened(
            duelId,
            opening.first.executor,
            opening.second.executor,
            opening.payer,
            opening.requestId,
            first,
            second,
            opening.evidenceRoot,
            opening.first.nonceCommit,
            self.attempt,
            self.epoch,
            self.mark,
            self.prize
        );
    }

    // ======================================================================================================== views
    /// @inheritdoc IDuels
    function duel(bytes32 duelId) external view returns (DuelState memory view_) {
        Duel storage self = _duels[duelId];
        (view_.state, view_.epoch, view_.attempt, view_.prize) = (self.state, self.epoch, self.attempt, self.prize);
        view_.dispatcher = _members[self.dispatcher].provider;
        (view_.first, view_.second) = (_members[self.first].provider, _members[self.second].provider);
        if (self.seats == 0) {
            view_.drawBlock = self.mark;
        } else {
            (view_.commitEnd, view_.revealEnd) = _ends(self.mark);
            view_.appealEnd = view_.revealEnd + _appealWindow;
            (view_.judges, view_.votes) = _bench(self.seats, self.votes, JUDGES);
        }
        SecondTrial storage second = _appeals[duelId];
        view_.appellant = second.appellant;
        if (second.seats == 0) {
            view_.retrialBlock = second.mark;
        } else {
            (view_.retrialCommitEnd, view_.retrialEnd) = _ends(second.mark);
            (view_.jurors, view_.jurorVotes) = _bench(second.seats, second.votes, JURY);
        }
    }

    function _bench(uint256 seats, uint256 votes_, uint256 size)
        private
        view
        returns (address[] memory who, Vote[] memory votes)
    {
        (who, votes) = (new address[](size), new Vote[](size));
        for (uint256 i = 0; i < size; ++i) {
            who[i] = _members[_seatPlace(seats, i)].provider;
            votes[i] = Vote(uint8(votes_ >> (VOTE_BITS * i)));
        }
    }

    // ==================================================================================================== internals
    function _ends(uint64 drawnAt) internal view returns (uint64 commitEnd, uint64 revealEnd) {
        commitEnd = drawnAt + _commitSeconds;
        revealEnd = commitEnd + _revealSeconds;
    }

    function _seatPlace(uint256 seats, uint256 seat) internal pure returns (uint16) {
        return uint16(seats >> (SEAT_BITS * seat));
    }

    /// @dev Binds the duel to what its draw depends on. 160 bits, to share a slot with the prize.
    function _origin(bytes32 requestId, bytes32 nonceCommit) internal pure returns (uint160) {
        return uint160(uint256(keccak256(abi.encode(requestId, nonceCommit))));
    }

    function _checkStrangers(uint256 place, uint256 other) private view {
        address controller = _controllerOf(place);
        require(controller != _controllerOf(other), Duels_SameController(controller));
    }

    function _answerHash(address payer, bytes32 requestId, bytes32 requestHash, bytes32 model, Side calldata side)
        internal
        pure
        returns (bytes32)
    {
        return Answer({
            payer: payer,
            lane: side.lane,
            generation: side.generation,
            requestId: requestId,
            requestHash: requestHash,
            responseHash: side.responseHash,
            model: model,
            executor: side.executor,
            nonceCommit: side.nonceCommit
        }).hash();
    }

    /// @dev By the operator of the answer's generation; of a closed one only as long as its claims could be challenged, so
    /// that a key given up long ago convicts nobody.
    function _checkSigned(Side calldata side, bytes32 answer) internal view {
        GenerationState memory state = IEscrow(escrow).generationState(side.executor, side.generation);
        bytes32 digest = MessageHashUtils.toTypedDataHash(IEscrow(escrow).domainSeparator(), answer);
        Signature calldata sig = side.signature;
        address recovered = ECDSA.tryRecover(digest, sig.r, sig.vs);
        bool isSigned = recovered == state.operator && recovered != address(0);
        require(isSigned, Duels_NotSignedByOperator(recovered, state.operator));
        if (state.closedAt == 0) return;
        uint64 until = state.closedAt + IEscrow(escrow).thawSeconds() + IEscrow(escrow).holdSeconds();
        require(_now() <= until, Duels_TooLate(until));
    }
}
