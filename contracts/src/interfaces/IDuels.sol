// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Signature} from "./IEscrow.sol";

/// @notice Where a duel stands. The last four are final and count as the outcome.
enum State {
    None,
    Opened,
    Judging,
    Appealed,
    Retrial,
    FirstWon,
    SecondWon,
    Tied,
    Voided
}

/// @notice A revealed vote. `None` is silence.
enum Vote {
    None,
    First,
    Second,
    Tie,
    NoEvidence
}

/// @notice All windows of a duel. Times in seconds, `drawDelay` in blocks.
struct DuelTimes {
    uint64 epoch;
    uint64 commit;
    uint64 reveal;
    uint64 appeal;
    uint64 drawDelay;
}

/// @notice Every amount is fixed, never a share of a stake, so that splitting a stake shrinks no slash (D3).
struct DuelAmounts {
    uint128 bond;
    uint128 appealBond;
    uint128 judgeFee;
    uint128 loserSlash;
    uint128 minoritySlash;
    uint128 silentSlash;
    uint128 faultSlash;
}

/// @notice One executor's side of a duel: the fields of its `Answer` that are its own, and its operator key's signature.
struct Side {
    address executor;
    address lane;
    uint32 generation;
    bytes32 responseHash;
    bytes32 nonceCommit;
    Signature signature;
}

/// @notice What a dispatcher opens a duel with. The fields above `first` are common to both answers.
/// @param attempt Which draw of the second executor this is, below 8: those before it could not serve the model.
/// @param fee What the dispatcher paid for the first answer; a winner never gets more than this.
/// @param size The class of the request's length, for ratings; judges hold the request and see whether it is true.
struct Opening {
    address payer;
    bytes32 requestId;
    bytes32 requestHash;
    bytes32 model;
    bytes32 evidenceRoot;
    uint128 fee;
    uint8 attempt;
    uint8 size;
    Side first;
    Side second;
}

/// @notice A member as anybody reads it. `place` is for ever; 0 means never enrolled.
struct MemberState {
    uint16 place;
    bool active;
    address controller;
    address delegate;
    uint64 weight;
}

/// @notice A duel as anybody reads it; times are 0 as long as the judges are not drawn.
struct DuelState {
    State state;
    address dispatcher;
    address first;
    address second;
    uint32 epoch;
    uint8 attempt;
    uint96 prize;
    uint64 drawBlock;
    uint64 commitEnd;
    uint64 revealEnd;
    uint64 appealEnd;
    address[] judges;
    Vote[] votes;
    address appellant;
    uint64 retrialBlock;
    uint64 retrialCommitEnd;
    uint64 retrialEnd;
    address[] jurors;
    Vote[] jurorVotes;
}

/// @title IDuels
/// @notice Quality that is paid for: two executors answer one request, judges drawn by stake say whose answer is better.
/// The second of the two contracts that may slash stake, so its windows must fit inside the registry's unbonding time.
/// @dev The events rebuild all of the state, with one exception: {FaultProven} names the bounty, not its receiver, who is
/// the caller of the report and so is read from its transaction. Nobody owns it, nothing can be changed after deployment.
/// Seats 0 to 4 are the judges', seats 5 to 19 the jury's of an appeal.
interface IDuels {
    // ------------------------------------------------------------------------------------------------------- events
    event Funded(address indexed account, address indexed from, uint128 amount);
    event Collected(address indexed account, address indexed to, uint128 amount);
    event Enrolled(address indexed provider, uint16 place, address delegate);
    event Resigned(address indexed provider);
    event DelegateSet(address indexed provider, address oldDelegate, address newDelegate);
    event Adopted(address indexed controller, address indexed provider);
    event ControllerSet(address indexed provider, address oldController, address newController);
    /// @param epoch Counts for draws of duels opened in the epochs after this one.
    event Weighed(address indexed provider, uint16 place, uint32 epoch, uint64 oldWeight, uint64 newWeight);
    event SeedCommitted(address indexed dispatcher, uint32 indexed epoch, bytes32 commitment, uint16 ratePerMille);
    event SeedRevealed(address indexed dispatcher, uint32 indexed epoch, bytes32 seed);
    event Opened(
        bytes32 indexed duelId,
        address indexed first,
        address indexed second,
        address dispatcher,
        bytes32 requestId,
        bytes32 firstAnswer,
        bytes32 secondAnswer,
        bytes32 evidenceRoot,
        bytes32 nonceCommit,
        uint8 attempt,
        uint32 epoch,
        uint64 drawBlock,
        uint96 prize
    );
    /// @notice Beside every `Opened`: what ratings are kept by.
    event Asked(bytes32 indexed duelId, bytes32 indexed model, uint8 size);
    /// @param places The seats' places, 16 bits each, the first seat lowest.
    event Drawn(bytes32 indexed duelId, uint256 seed, uint256 places, uint64 commitEnd);
    event Committed(bytes32 indexed duelId, uint8 seat, address judge, bytes32 commitment);
    event Revealed(bytes32 indexed duelId, uint8 seat, address judge, Vote vote, bytes32 rationaleHash);
    event AppealOpened(bytes32 indexed duelId, address indexed appellant, State verdict, uint64 drawBlock);
    /// @param slashed What the loser lost, `prize` and `seats * share` of it paid, the rest burnt.
    /// @param bondBack Of the dispatcher's bond, `appealBack` of the appellant's.
    event Finalized(
        bytes32 indexed duelId,
        State outcome,
        uint128 slashed,
        uint128 prize,
        uint128 share,
        uint128 bondBack,
        uint128 appealBack
    );
    /// @param fault 1: unrevealed seed. 2: not the executor drawn, or not a request to be duelled. 3: two answers.
    /// @param bounty Credited to whoever called.
    event FaultProven(
        address indexed culprit, uint8 indexed fault, bytes32 occurrence, uint128 slashed, uint128 bounty
    );

    // ------------------------------------------------------------------------------------------------------- errors
    error Duels_WrongSet();
    error Duels_TimeOutOfBounds(uint64 time);
    error Duels_WindowsOutOfOrder(uint256 needed, uint256 limit);
    error Duels_AmountsOutOfOrder();
    error Duels_ZeroAddress();
    error Duels_ZeroAmount();
    error Duels_AmountMismatch(uint256 asked, uint256 moved);
    error Duels_Overdraw(uint256 asked, uint256 available);
    error Duels_Full();
    error Duels_AlreadyEnrolled(address provider);
    error Duels_NotEnrolled(address provider);
    error Duels_StakeTooLow(address provider);
    error Duels_NotAdopted(address controller, address provider);
    error Duels_NotActor(address provider, address caller);
    error Duels_RateOutOfBounds(uint16 ratePerMille);
    error Duels_SeedCommitted(uint32 epoch);
    error Duels_NoSeed(address dispatcher, uint32 epoch);
    error Duels_SeedRevealed(uint32 epoch);
    error Duels_WrongSeed();
    error Duels_EpochNotOver(uint32 epoch);
    error Duels_RevealTooLate(uint64 until);
    error Duels_RevealNotOver(uint64 until);
    error Duels_SameController(address controller);
    error Duels_NotSignedByOperator(address recovered, address operator);
    error Duels_TooManyAttempts(uint8 attempt);
    error Duels_AlreadyOpened(bytes32 duelId);
    error Duels_WrongState(State state);
    error Duels_DrawNotYet(uint64 drawBlock);
    error Duels_DrawMissed(uint64 drawBlock);
    error Duels_DrawPossible(uint64 until);
    error Duels_NoJudges();
    error Duels_NoSnapshot(uint32 epoch);
    error Duels_NoSuchSeat(uint256 seat);
    error Duels_TooEarly(uint64 from);
    error Duels_TooLate(uint64 until);
    error Duels_AlreadyCommitted(uint256 seat);
    error Duels_BadVote(Vote vote);
    error Duels_NotCommitted(uint256 seat);
    error Duels_NoContradiction();
    error Duels_NoFault();
    error Duels_AlreadyProven(bytes32 occurrence);

    // -------------------------------------------------------------------------------------------------------- money
    /// @notice Adds `amount` of the caller's currency to the balance of `account`, from which bonds are locked.
    function fund(address account, uint128 amount) external;

    /// @notice Pays all of the caller's balance to `to`. A delegate cannot: it has no balance of its provider's.
    function collect(address to) external;

    // ------------------------------------------------------------------------------------------------------ members
    /// @notice The caller, a listed provider, can be drawn from the next epoch on, and may dispatch duels.
    /// @param delegate Hot key that may act in duels for it; 0 for none.
    function enroll(address delegate) external;

    /// @notice The caller is drawn no more from the next epoch on. Duels that run go on.
    function resign() external;

    function setDelegate(address delegate) external;

    /// @notice The caller offers to be the controller of `provider`.
    function adopt(address provider) external;

    /// @notice Names who stands behind the caller: itself, or a controller that adopted it.
    function setController(address controller) external;

    /// @notice Brings the weight of a member up to date with its stake. Anyone may call; nobody is drawn by stake that left.
    function sync(address provider) external;

    // -------------------------------------------------------------------------------------------------------- seeds
    /// @notice Commits to the sampling seed of the next epoch, and to the rate at which requests are duelled in it.
    /// @param commitment keccak256(abi.encode(chainId, contract, dispatcher, epoch, seed)); 224 bits of it are kept.
    function commitSeed(address dispatcher, bytes32 commitment, uint16 ratePerMille) external;

    /// @notice Reveals the seed of an epoch in the first half of the next one.
    function revealSeed(address dispatcher, uint32 epoch, bytes32 seed) external;

    // -------------------------------------------------------------------------------------------------------- duels
    /// @notice Opens a duel between two signed answers to one request. Locks the payer's bond.
    /// @return duelId keccak256(abi.encode(payer, requestId)): one duel a request, for ever.
    function open(Opening calldata opening) external returns (bytes32 duelId);

    /// @notice Draws the judges, or an appeal's jury, by the hash of the draw block. Anyone may, for 256 blocks.
    function draw(bytes32 duelId) external;

    /// @param commitment keccak256(abi.encode(chainId, contract, duelId, judge, vote, salt, rationaleHash)).
    function commit(bytes32 duelId, uint8 seat, bytes32 commitment) external;

    function reveal(bytes32 duelId, uint8 seat, Vote vote, bytes32 salt, bytes32 rationaleHash) external;

    /// @notice Asks for a jury of 15, whose verdict is final. Locks the appeal bond of `appellant`, the caller or its provider.
    function appeal(bytes32 duelId, address appellant) external;

    /// @notice Ends a duel that is due: pays, slashes, burns. Anyone may call.
    function finalize(bytes32 duelId) external;

    // ------------------------------------------------------------------------------------------------------- faults
    /// @notice A committed seed that was not revealed in time. The caller gets the bounty here and below.
    function reportUnrevealed(address dispatcher, uint32 epoch) external;

    /// @notice A duel whose second executor is not the one drawn, or whose request was not to be duelled, by the dispatcher's
    /// own seed. In the epoch after the duel's only.
    function reportWrongDraw(bytes32 duelId, bytes32 seed, bytes32 requestId, bytes32 nonceCommit) external;

    /// @notice Two different answers of one executor to one request.
    /// @dev `requestHashes` and `models` are those of the two answers, `sides` the rest of them.
    function reportTwoAnswers(
        address payer,
        bytes32 requestId,
        bytes32[2] calldata requestHashes,
        bytes32[2] calldata models,
        Side[2] calldata sides
    ) external;

    // -------------------------------------------------------------------------------------------------------- views
    function registry() external view returns (address);

    function escrow() external view returns (address);

    function currency() external view returns (address);

    /// @notice Longest time from the opening of a duel to its first verdict.
    function disputeSeconds() external view returns (uint64);

    /// @notice Longest time from the first verdict to the final one.
    function appealSeconds() external view returns (uint64);

    function times() external view returns (DuelTimes memory);

    function amounts() external view returns (DuelAmounts memory);

    /// @notice Currency one unit of weight stands for.
    function weightUnit() external view returns (uint128);

    function currentEpoch() external view returns (uint32);

    function balances(address account) external view returns (uint128);

    function burnt() external view returns (uint256);

    function member(address provider) external view returns (MemberState memory);

    function providerAt(uint16 place) external view returns (address);

    /// @notice Weight of all members at the end of `epoch`: the current one or one of the two before it.
    function totalWeight(uint32 epoch) external view returns (uint256);

    /// @notice Whose weight covers `point`, members in the order of their places; `point` is reduced by the total.
    function pick(uint32 epoch, uint256 point) external view returns (address);

    function seedOf(address dispatcher, uint32 epoch)
        external
        view
        returns (bytes28 commitment, uint16 ratePerMille, bool revealed);

    function duel(bytes32 duelId) external view returns (DuelState memory);

    function commitmentOf(bytes32 duelId, uint8 seat) external view returns (bytes32);
}
