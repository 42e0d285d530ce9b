// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Claim, Receipt} from "../libraries/Messages.sol";

/// @notice A 64-byte signature: `vs` is `s` with the recovery bit in its top bit (ERC-2098). It is the only form taken,
/// so that one signature has one encoding.
struct Signature {
    bytes32 r;
    bytes32 vs;
}

/// @notice One row of a claim batch: a voucher and a claim of the same lane. The lane itself is recovered, not sent.
/// @dev The order matters: the fields of both messages lie so that each is hashed from two runs of calldata.
struct Item {
    address payer;
    address payee;
    uint32 generation;
    uint64 seq;
    uint128 cumulative;
    bytes32 receiptsRoot;
    uint32 count;
    uint128 ceiling;
    bytes32 context;
    Signature voucherSig;
    Signature claimSig;
}

/// @notice What became of a claim row. Only `Paid` and `PaidPart` change anything.
enum Status {
    Paid,
    PaidPart,
    NothingNew,
    NoCover,
    UnknownGeneration,
    GenerationClosed,
    GenerationOlder,
    SeqInFuture,
    AboveCeiling,
    AboveCap,
    UnknownSigner,
    SignerRevoked,
    BadClaimSignature
}

/// @notice What a payer has locked for a payee. `allotted` and `claimed` are lifetime totals.
struct PairState {
    uint128 allotted;
    uint128 claimed;
    uint128 thawing;
    uint64 thawEnd;
}

/// @notice What was claimed through one signer of a pair, ever, and the generation of its last mined claim (0: none).
struct LaneState {
    uint128 claimed;
    uint32 generation;
}

/// @notice A further signer. `payer` is 0 for an unknown one; `thawEnd` is 0 while it is live.
struct SignerState {
    address payer;
    uint64 thawEnd;
    bool revoked;
    uint128 cap;
}

/// @notice A payee's keys. `generation` 0: no operator yet. `payout` is in force; `nextPayout` takes over at `payoutAt`.
struct PayeeState {
    address operator;
    uint32 generation;
    uint64 operatorBumpAt;
    address payout;
    address nextPayout;
    uint64 payoutAt;
}

/// @notice One generation of a payee. `closedAt` is 0 while it is current.
struct GenerationState {
    address operator;
    uint64 closedAt;
    bool floorBurnt;
}

/// @notice A payee's earnings at this moment. `unreleased` = `previous` + `current` can still be slashed.
struct EarningsState {
    uint128 released;
    uint128 previous;
    uint128 current;
    uint64 bucket;
}

/// @notice All windows, in seconds.
struct EscrowTimes {
    uint64 thaw;
    uint64 hold;
    uint64 payoutDelay;
}

/// @title IEscrow
/// @notice Custody of prepaid currency: payers deposit, allot to payees and take back after a thaw; payees are paid by
/// (voucher, claim) pairs that anyone may submit. No owner, no pause, no upgrade; it knows nothing of routing.
/// @dev The events alone rebuild all of the state. Amounts are base units of one ERC-20, times are Unix seconds.
interface IEscrow {
    // ------------------------------------------------------------------------------------------------ events: payer
    event Deposited(address indexed payer, address indexed from, uint128 amount);
    event Withdrawn(address indexed payer, address indexed to, uint128 amount);
    /// @param allotted The pair's lifetime total after this.
    event Allotted(address indexed payer, address indexed payee, uint128 amount, uint128 allotted);
    /// @param oldAmount What was thawing before; it is replaced, clock included.
    event ThawRequested(
        address indexed payer, address indexed payee, uint128 oldAmount, uint128 newAmount, uint64 thawEnd
    );
    event ThawCancelled(address indexed payer, address indexed payee, uint128 amount);
    /// @param amount Moved from the pair's allotment to the payer's free balance.
    /// @param allotted The pair's lifetime total after this.
    event ThawFinished(address indexed payer, address indexed payee, uint128 amount, uint128 allotted);

    // ---------------------------------------------------------------------------------------------- events: signers
    event SignerAuthorized(address indexed payer, address indexed signer, uint128 cap);
    event SignerCapRaised(address indexed payer, address indexed signer, uint128 oldCap, uint128 newCap);
    event SignerThawing(address indexed payer, address indexed signer, uint64 thawEnd);
    event SignerRevoked(address indexed payer, address indexed signer);

    // ----------------------------------------------------------------------------------------------- events: payees
    /// @notice A new operator key, and with it a new generation.
    event OperatorSet(address indexed payee, address indexed operator, address indexed oldOperator, uint32 generation);
    /// @notice The same operator key in a new generation.
    event GenerationBumped(address indexed payee, address indexed by, uint32 oldGeneration, uint32 newGeneration);
    event PayoutRequested(address indexed payee, address oldPayout, address newPayout, uint64 payoutAt);
    event EarningsCollected(address indexed payee, address indexed payout, uint128 amount);

    // --------------------------------------------------------------------------------------------- events: settling
    event Settled(
        address indexed payer,
        address indexed payee,
        address indexed lane,
        uint32 generation,
        uint64 seq,
        uint128 cumulative,
        uint128 ceiling,
        uint128 paid,
        uint128 claimedAfter,
        uint32 count,
        bytes32 root
    );
    /// @param returned Went to the payer's free balance.
    /// @param burnt Can never leave again.
    /// @param fromEarnings How much of `returned + burnt` came from unreleased earnings; the rest came from stake.
    event OverclaimChallenged(
        address indexed payer,
        address indexed payee,
        address indexed lane,
        uint32 generation,
        uint128 excess,
        uint128 returned,
        uint128 burnt,
        uint128 fromEarnings,
        address challenger
    );

    // ------------------------------------------------------------------------------------------------------- errors
    error Escrow_ZeroAddress();
    error Escrow_ZeroAmount();
    error Escrow_TimeOutOfBounds(uint64 time);
    error Escrow_LengthMismatch(uint256 payees, uint256 amounts);
    error Escrow_BatchTooLong(uint256 length, uint256 limit);
    error Escrow_AmountMismatch(uint256 asked, uint256 moved);
    error Escrow_SupplyTooLarge(uint256 balance);
    error Escrow_Overdraw(uint256 asked, uint256 available);
    error Escrow_NothingThawing(address payee);
    error Escrow_NothingToWithdraw();
    error Escrow_NothingReleased(address payee);
    error Escrow_SignerIsPayer();
    error Escrow_SignerTaken(address signer, address payer);
    error Escrow_NotSignersPayer(address signer, address caller);
    error Escrow_ConsentExpired(uint64 deadline);
    error Escrow_BadConsent(address recovered);
    error Escrow_CapNotRaised(uint128 oldCap, uint128 newCap);
    error Escrow_SignerThawing(address signer, uint64 thawEnd);
    error Escrow_SignerNotThawed(address signer, uint64 thawEnd);
    error Escrow_SignerRevoked(address signer);
    error Escrow_NoOperator(address payee);
    error Escrow_NotPayeeOrOperator(address payee, address caller);
    error Escrow_BumpTooSoon(uint64 nextBumpAt);
    error Escrow_NotSameLane();
    error Escrow_NoContradiction();
    error Escrow_NotSignedByOperator(address recovered, address operator);
    error Escrow_ChallengeTooLate(uint64 until);
    error Escrow_NoExcess();
    error Escrow_NothingToSlash();

    // -------------------------------------------------------------------------------------------------- payer: money
    /// @notice Adds `amount` of the caller's currency to the caller's free balance.
    function deposit(uint128 amount) external;

    /// @notice Adds `amount` of the caller's currency to `payer`'s free balance. Touches nothing else of `payer`.
    function depositFor(address payer, uint128 amount) external;

    /// @notice `deposit` with an ERC-2612 permit. A permit that somebody already spent is no error: the allowance counts.
    function depositWithPermit(uint128 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Locks free money for payees. A payee may occur several times.
    function allot(address[] calldata payees, uint128[] calldata amounts) external;

    /// @notice Asks for money of pairs back. Replaces what is thawing there, clamps to what is unclaimed and starts the
    /// clock of all of it anew; it stays claimable meanwhile. An amount of 0 stops the thaw.
    function requestThaw(address[] calldata payees, uint128[] calldata amounts) external;

    /// @notice Stops thaws; the money counts as cover again at once.
    function cancelThaw(address[] calldata payees) external;

    /// @notice Finishes the ripe thaws of `payees` (skips unripe ones), then pays *all* of the caller's free balance to `to`.
    function withdraw(address[] calldata payees, address to) external;

    // ------------------------------------------------------------------------------------------------ payer: signers
    /// @notice Binds a further signer to the caller for ever, with its EIP-712 `SignerConsent`.
    /// @param cap The most that may ever be claimed in each of its lanes.
    function authorizeSigner(address signer, uint128 cap, uint64 deadline, Signature calldata consent) external;

    function raiseSignerCap(address signer, uint128 newCap) external;

    /// @notice Starts the end of a signer. Cannot be undone, repeated or shortened; its vouchers stay claimable.
    function thawSigner(address signer) external;

    /// @notice Ends a thawed signer: from here on none of its vouchers can be claimed.
    function revokeSigner(address signer) external;

    // -------------------------------------------------------------------------------------------------------- payees
    /// @notice Names the caller's operator key and opens a new generation with it.
    function setOperator(address operator) external;

    /// @notice Opens a new generation with the same operator key. For the payee, and once an hour for its operator key.
    function bumpGeneration(address payee) external;

    /// @notice Where earnings go after `payoutDelay`. Until the first change they go to the payee itself.
    function setPayout(address newPayout) external;

    /// @notice Sends a payee's released earnings to its payout address. Anyone may call.
    function collectEarnings(address payee) external;

    // ------------------------------------------------------------------------------------------------------ settling
    /// @notice Settles up to 50 lanes. Anyone may call; a row that cannot be paid is skipped, whatever is wrong with it.
    /// Rows of one payee should stand together: its earnings are written once a run.
    function claim(Item[] calldata items) external returns (Status[] memory statuses);

    /// @notice Convicts a payee whose operator signed both `claim_` and a receipt of the same lane and generation that is
    /// not older and says less. Half of what is at stake, at most, goes back to the payer; at least as much is burnt.
    function challengeOverclaim(
        Claim calldata claim_,
        Signature calldata claimSig,
        Receipt calldata receipt,
        Signature calldata receiptSig
    ) external;

    // --------------------------------------------------------------------------------------------------------- views
    function currency() external view returns (address);
    function registry() external view returns (address);
    function duels() external view returns (address);

    /// @notice W: seconds before thawing money, a thawing signer or a closed generation is final.
    function thawSeconds() external view returns (uint64);
    /// @notice D: width of an earnings bucket; earnings can be slashed for D to 2 D.
    function holdSeconds() external view returns (uint64);
    function payoutDelaySeconds() external view returns (uint64);
    function domainSeparator() external view returns (bytes32);

    /// @notice Slashed currency that can never leave.
    function burnt() external view returns (uint256);
    function free(address payer) external view returns (uint128);
    function pairs(address payer, address payee) external view returns (PairState memory);

    /// @notice `allotted - thawing`: the lifetime total a payee may count on; compare it with lifetime totals.
    function cover(address payer, address payee) external view returns (uint128);
    function laneState(address payer, address payee, address lane) external view returns (LaneState memory);

    /// @return top The lane's claimed total after the last claim mined in `generation`.
    /// @return returned What challenges in that generation have given back.
    function laneGeneration(address payer, address payee, address lane, uint32 generation)
        external
        view
        returns (uint128 top, uint128 returned);
    function signerState(address signer) external view returns (SignerState memory);
    function payees(address payee) external view returns (PayeeState memory);
    function generationState(address payee, uint32 generation) external view returns (GenerationState memory);
    function operatorOf(address payee, uint32 generation) external view returns (address);
    function earningsOf(address payee) external view returns (EarningsState memory);

    /// @notice What `claim` would do with each row *alone* at this moment. For a whole batch, simulate `claim` itself.
    function previewClaim(Item[] calldata items)
        external
        view
        returns (Status[] memory statuses, address[] memory lanes, uint128[] memory paid);
}
