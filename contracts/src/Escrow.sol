// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {Custody} from "./escrow/Custody.sol";
import {Keys} from "./escrow/Keys.sol";
import {Windows} from "./escrow/Windows.sol";
import {
    EarningsState,
    EscrowTimes,
    GenerationState,
    IEscrow,
    Item,
    LaneState,
    Signature,
    SignerState,
    Status
} from "./interfaces/IEscrow.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Earnings} from "./libraries/Earnings.sol";
import {Claim, Messages, Receipt} from "./libraries/Messages.sol";

/// @title Escrow
/// @notice See {IEscrow}. Three rooms: {Custody} holds the payers' money, {Keys} knows who signs for whom, and here money
/// moves from a payer to a payee because both signed: earning, settling, challenging.
/// Numbers like INV2 are those of `docs/invariants.md`, numbers like P4 those of its table of attacks.
contract Escrow is Custody, Keys {
    using Messages for *;
    using Earnings for EarningsState;

    // -------------------------------------------------------------------------------------------------------- types
    /// @dev What successive rows of a batch share, looked up once. `status` is that of a row nothing else is wrong with.
    struct Run {
        bytes32 domain;
        uint256 lastSeq;
        address payee;
        uint32 generation;
        address operator;
        Status status;
        uint128 earned;
    }

    // ---------------------------------------------------------------------------------------------------- constants
    /// @dev Rows of one claim: about 1.3 M gas, which every chain's block takes.
    uint256 private constant MAX_BATCH = 50;
    /// @dev How far, in seconds, a claim's sequence may run ahead of the chain's clock.
    uint256 private constant SEQ_SLACK_SECONDS = 60;
    uint256 private constant MICROSECONDS = 1e6;
    /// @dev The least burnt by a generation's first conviction is `minStake / FLOOR_DIVISOR`.
    uint128 private constant FLOOR_DIVISOR = 20;

    // ------------------------------------------------------------------------------------------------------ storage
    address public immutable registry;
    address public immutable duels;
    uint256 public burnt;
    mapping(address payee => EarningsState) private _earnings;

    /// @param registry_ Address the registry will have; `duels_` likewise, or 0 for a set without duels.
    constructor(address currency_, address registry_, address duels_, EscrowTimes memory times)
        EIP712("wwwserve", "1")
        Windows(times)
        Custody(currency_)
    {
        require(registry_ != address(0), Escrow_ZeroAddress());
        (registry, duels) = (registry_, duels_);
    }

    // ======================================================================================================= earning
    /// @inheritdoc IEscrow
    function collectEarnings(address payee) external nonReentrant {
        EarningsState memory earnings = _earnings[payee].rolledTo(_bucket());
        uint128 amount = earnings.released;
        require(amount != 0, Escrow_NothingReleased(payee));
        earnings.released = 0;
        _earnings[payee].save(earnings);
        address payout = _payoutOf(payee);
        emit EarningsCollected(payee, payout, amount);
        _pay(payout, amount);
    }

    // ====================================================================================================== settling
    /// @inheritdoc IEscrow
    function claim(Item[] calldata items) external returns (Status[] memory statuses) {
        require(items.length <= MAX_BATCH, Escrow_BatchTooLong(items.length, MAX_BATCH));
        statuses = new Status[](items.length);
        Run memory run = _newRun();
        for (uint256 i = 0; i < items.length; ++i) {
            Item calldata item = items[i];
            _follow(run, item);
            statuses[i] = _settle(item, run);
        }
        _earn(run.payee, run.earned);
    }

    function _newRun() private view returns (Run memory run) {
        run.domain = _domainSeparatorV4();
        run.lastSeq = (block.timestamp + SEQ_SLACK_SECONDS) * MICROSECONDS;
        run.status = Status.UnknownGeneration;
    }

    /// @dev Rows of one payee and generation share its operator and one write of its earnings.
    function _follow(Run memory run, Item calldata item) private {
        if (item.payee == run.payee && item.generation == run.generation) return;
        _earn(run.payee, run.earned);
        run.earned = 0;
        _look(run, item);
    }

    function _look(Run memory run, Item calldata item) private view {
        (run.payee, run.generation) = (item.payee, item.generation);
        GenerationState storage state = _payees[item.payee].generations[item.generation];
        (run.operator, run.status) = (state.operator, Status.Paid);
        if (run.operator == address(0)) run.status = Status.UnknownGeneration;
        uint64 closedAt = state.closedAt;
        if (closedAt != 0 && _now() > closedAt + thawSeconds) run.status = Status.GenerationClosed;
    }

    /// @dev One row. Never reverts: one bad row must not stop the others (P13).
    function _settle(Item calldata item, Run memory run) private returns (Status status) {
        address signer;
        (status, signer) = _judge(item, run);
        if (status != Status.Paid) return status;
        Pair storage pair = _pairs[item.payer][item.payee];
        Lane storage lane = pair.lanes[signer];
        (uint128 claimed, uint32 generation) = (lane.claimed, lane.generation);
        uint128 pairClaimed = pair.claimed;
        uint128 paid;
        (status, paid) = _judgeAmount(item, claimed, generation, pair.allotted - pairClaimed);
        if (paid == 0) return status;
        if (generation != item.generation) {
            // A later challenge of the generation that ends here must know how far it got.
            if (generation != 0) lane.history[generation].top = claimed;
            lane.generation = item.generation;
        }
        // No sum overflows: `paid <= allotted - pairClaimed`, and all money held fits u128.
        unchecked {
            claimed += paid;
            (pair.claimed, lane.claimed) = (pairClaimed + paid, claimed);
            run.earned += paid;
        }
        _emitSettled(item, signer, paid, claimed);
    }

    /// @dev A function of its own because eleven fields leave no room on the stack.
    function _emitSettled(Item calldata item, address signer, uint128 paid, uint128 claimed) private {
        emit Settled(
            item.payer,
            item.payee,
            signer,
            item.generation,
            item.seq,
            item.cumulative,
            item.ceiling,
            paid,
            claimed,
            item.count,
            item.receiptsRoot
        );
    }

    /// @dev Every reason not to believe a row (INV3, INV4).
    function _judge(Item calldata item, Run memory run) private view returns (Status, address signer) {
        if (run.status != Status.Paid) return (run.status, address(0));
        if (item.seq > run.lastSeq) return (Status.SeqInFuture, address(0));
        if (item.cumulative > item.ceiling) return (Status.AboveCeiling, address(0));
        signer = _recover(run.domain, item.voucherHash(), item.voucherSig);
        // The payer's own key needs no consent. A failed recovery gives 0, which must not pass for payer 0.
        if (signer != item.payer || signer == address(0)) {
            Status status = _judgeSigner(item.payer, signer, item.cumulative);
            if (status != Status.Paid) return (status, signer);
        }
        bool isSigned = _recover(run.domain, item.claimHash(signer), item.claimSig) == run.operator;
        return (isSigned ? Status.Paid : Status.BadClaimSignature, signer);
    }

    function _judgeSigner(address payer, address signer, uint128 cumulative) private view returns (Status) {
        SignerState storage state = _signers[signer];
        if (signer == address(0) || state.payer != payer) return Status.UnknownSigner;
        if (state.revoked) return Status.SignerRevoked;
        return cumulative > state.cap ? Status.AboveCap : Status.Paid;
    }

    /// @dev How much of a believed row to pay (INV2). `available` includes thawing money: it stays claimable until the
    /// payer has taken it (P5).
    function _judgeAmount(Item calldata item, uint128 claimed, uint32 generation, uint128 available)
        private
        pure
        returns (Status, uint128 paid)
    {
        // A newer generation has counted on: an older claim would be paid on top of it.
        if (item.generation < generation) return (Status.GenerationOlder, 0);
        if (item.cumulative <= claimed) return (Status.NothingNew, 0);
        if (available == 0) return (Status.NoCover, 0);
        uint128 delta = item.cumulative - claimed;
        return delta <= available ? (Status.Paid, delta) : (Status.PaidPart, available);
    }

    // ==================================================================================================== challenging
    /// @inheritdoc IEscrow
    function challengeOverclaim(
        Claim calldata claim_,
        Signature calldata claimSig,
        Receipt calldata receipt,
        Signature calldata receiptSig
    ) external nonReentrant {
        _checkContradiction(claim_, receipt);
        GenerationState storage generation = _payees[claim_.payee].generations[claim_.generation];
        _checkOperatorSigned(generation.operator, claim_.hash(), claimSig);
        _checkOperatorSigned(generation.operator, receipt.hash(), receiptSig);
        uint64 until = generation.closedAt == 0 ? _now() : generation.closedAt + thawSeconds + holdSeconds;
        require(_now() <= until, Escrow_ChallengeTooLate(until));
        (LaneHistory storage history, uint128 excess) = _excess(claim_, receipt.cumulative);
        (uint128 returned, uint128 burn) = _sentence(claim_.payee, generation, excess);
        (uint128 returnedFromEarnings, uint128 fromEarnings) = _takeEarnings(claim_.payee, returned, burn);
        history.returned += returned;
        free[claim_.payer] += returned;
        emit OverclaimChallenged(
            claim_.payer, claim_.payee, claim_.lane, claim_.generation, excess, returned, burn, fromEarnings, msg.sender
        );
        if (returned + burn > fromEarnings) {
            _slashStake(claim_.payee, returned - returnedFromEarnings, returned + burn - fromEarnings);
        }
    }

    /// @dev An honest operator's totals never fall while its sequence rises, within one generation (INV9).
    function _checkContradiction(Claim calldata claim_, Receipt calldata receipt) private pure {
        require(
            claim_.payer == receipt.payer && claim_.payee == receipt.payee && claim_.lane == receipt.lane
                && claim_.generation == receipt.generation,
            Escrow_NotSameLane()
        );
        require(receipt.seq >= claim_.seq && receipt.cumulative < claim_.cumulative, Escrow_NoContradiction());
    }

    /// @dev What was really paid above the receipt, less what earlier challenges gave back. 0 convicts nobody.
    function _excess(Claim calldata claim_, uint128 owed) private view returns (LaneHistory storage history, uint128) {
        Lane storage lane = _pairs[claim_.payer][claim_.payee].lanes[claim_.lane];
        history = lane.history[claim_.generation];
        uint128 top = claim_.generation == lane.generation ? lane.claimed : history.top;
        uint256 settled = uint256(owed) + history.returned;
        uint128 overclaimed = _min(claim_.cumulative, top);
        require(overclaimed > settled, Escrow_NoExcess());
        return (history, overclaimed - uint128(settled));
    }

    /// @dev Half of what is at stake, at most, goes back; at least as much is burnt, so that convicting oneself never pays.
    function _sentence(address payee, GenerationState storage generation, uint128 excess)
        private
        returns (uint128 returned, uint128 burn)
    {
        uint128 unreleased = _earnings[payee].rolledTo(_bucket()).unreleased();
        uint128 pot = unreleased + IRegistry(registry).slashable(payee);
        returned = _min(excess, pot / 2);
        uint128 floor = generation.floorBurnt ? 0 : IRegistry(registry).minStake() / FLOOR_DIVISOR;
        burn = _min(pot - returned, returned > floor ? returned : floor);
        require(burn != 0, Escrow_NothingToSlash());
        generation.floorBurnt = true;
    }

    /// @dev Unreleased earnings go first, and of them what goes back goes before what is burnt (INV10).
    function _takeEarnings(address payee, uint128 returned, uint128 burn)
        private
        returns (uint128 returnedPart, uint128 taken)
    {
        EarningsState memory earnings = _earnings[payee].rolledTo(_bucket());
        taken = _min(earnings.unreleased(), returned + burn);
        returnedPart = _min(returned, taken);
        earnings.take(taken);
        _earnings[payee].save(earnings);
        burnt += taken - returnedPart;
    }

    /// @dev Of `total`, `toPayer` comes here and the registry keeps the rest for ever.
    function _slashStake(address payee, uint128 toPayer, uint128 total) private {
        uint256 before = IERC20(currency).balanceOf(address(this));
        IRegistry(registry).slash(payee, toPayer, total - toPayer);
        _checkMoved(toPayer, IERC20(currency).balanceOf(address(this)) - before);
    }

    // ========================================================================================================== views
    /// @inheritdoc IEscrow
    function previewClaim(Item[] calldata items)
        external
        view
        returns (Status[] memory statuses, address[] memory lanes, uint128[] memory paid)
    {
        statuses = new Status[](items.length);
        lanes = new address[](items.length);
        paid = new uint128[](items.length);
        Run memory run = _newRun();
        for (uint256 i = 0; i < items.length; ++i) {
            Item calldata item = items[i];
            _look(run, item);
            (statuses[i], lanes[i]) = _judge(item, run);
            if (statuses[i] != Status.Paid) continue;
            Pair storage pair = _pairs[item.payer][item.payee];
            Lane storage lane = pair.lanes[lanes[i]];
            (statuses[i], paid[i]) = _judgeAmount(item, lane.claimed, lane.generation, pair.allotted - pair.claimed);
        }
    }

    /// @inheritdoc IEscrow
    function laneState(address payer, address payee, address lane) external view returns (LaneState memory) {
        Lane storage state = _pairs[payer][payee].lanes[lane];
        return LaneState(state.claimed, state.generation);
    }

    /// @inheritdoc IEscrow
    function laneGeneration(address payer, address payee, address lane, uint32 generation)
        external
        view
        returns (uint128 top, uint128 returned)
    {
        Lane storage state = _pairs[payer][payee].lanes[lane];
        LaneHistory storage history = state.history[generation];
        return (generation == state.generation ? state.claimed : history.top, history.returned);
    }

    /// @inheritdoc IEscrow
    function earningsOf(address payee) external view returns (EarningsState memory) {
        return _earnings[payee].rolledTo(_bucket());
    }

    // ====================================================================================================== internals
    function _earn(address payee, uint128 amount) private {
        if (amount == 0) return;
        EarningsState memory earnings = _earnings[payee].rolledTo(_bucket());
        earnings.current += amount;
        _earnings[payee].save(earnings);
    }

    function _checkOperatorSigned(address operator, bytes32 structHash, Signature calldata sig) private view {
        address recovered = _recover(_domainSeparatorV4(), structHash, sig);
        require(recovered == operator && operator != address(0), Escrow_NotSignedByOperator(recovered, operator));
    }

    function _bucket() private view returns (uint64) {
        return _now() / holdSeconds;
    }
}
