// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {
    EarningsState,
    EscrowTimes,
    GenerationState,
    IEscrow,
    Item,
    LaneState,
    PairState,
    PayeeState,
    Signature,
    SignerState,
    Status
} from "./interfaces/IEscrow.sol";
import {IRegistry} from "./interfaces/IRegistry.sol";
import {Earnings} from "./libraries/Earnings.sol";
import {Claim, Messages, Receipt, SignerConsent, Voucher} from "./libraries/Messages.sol";

/// @title Escrow
/// @notice See {IEscrow}. Read it by story: a payer's money, its signers, a payee, settling, challenging.
/// Numbers like INV2 are those of `docs/invariants.md`, numbers like P4 those of its list of attacks.
contract Escrow is IEscrow, EIP712, ReentrancyGuard {
    using SafeERC20 for IERC20;
    using Messages for *;
    using Earnings for EarningsState;

    // -------------------------------------------------------------------------------------------------------- types
    /// @dev Never deleted: lifetime totals are what makes a replay worth nothing (P1). Claims write slot 0 only.
    struct Pair {
        uint128 allotted;
        uint128 claimed;
        uint128 thawing;
        uint64 thawEnd;
        mapping(address signer => Lane) lanes;
    }

    struct Lane {
        uint128 claimed;
        uint32 generation;
        mapping(uint32 generation => LaneHistory) history;
    }

    struct LaneHistory {
        uint128 top;
        uint128 returned;
    }

    struct Payee {
        PayeeState keys;
        EarningsState earnings;
        mapping(uint32 generation => GenerationState) generations;
    }

    // ---------------------------------------------------------------------------------------------------- constants
    /// @dev Rows of one claim: about 1.3 M gas, which every chain's block takes.
    uint256 private constant MAX_BATCH = 50;
    /// @dev How far, in seconds, a claim's sequence may run ahead of the chain's clock.
    uint256 private constant SEQ_SLACK_SECONDS = 60;
    uint256 private constant MICROSECONDS = 1e6;
    /// @dev Seconds between two bumps by an operator key, so that a stolen one cannot exhaust generations.
    uint64 private constant OPERATOR_BUMP_SECONDS = 1 hours;
    /// @dev Longest window: far from any overflow, and nobody's money is locked for longer.
    uint64 private constant MAX_SECONDS = 90 days;
    /// @dev The least burnt by a generation's first conviction is `minStake / FLOOR_DIVISOR`.
    uint128 private constant FLOOR_DIVISOR = 20;

    // --------------------------------------------------------------------------------------------------- immutables
    address public immutable currency;
    address public immutable registry;
    address public immutable duels;
    uint64 public immutable thawSeconds;
    uint64 public immutable holdSeconds;
    uint64 public immutable payoutDelaySeconds;

    // ------------------------------------------------------------------------------------------------------ storage
    uint256 public burnt;
    mapping(address payer => uint128) public free;
    mapping(address payer => mapping(address payee => Pair)) private _pairs;
    mapping(address signer => SignerState) private _signers;
    mapping(address payee => Payee) private _payees;

    /// @param registry_ Address the registry will have; `duels_` likewise, or 0 for a set without duels.
    constructor(address currency_, address registry_, address duels_, EscrowTimes memory times)
        EIP712("wwwserve", "1")
    {
        require(currency_ != address(0) && registry_ != address(0), Escrow_ZeroAddress());
        (currency, registry, duels) = (currency_, registry_, duels_);
        thawSeconds = _checkedTime(times.thaw);
        holdSeconds = _checkedTime(times.hold);
        payoutDelaySeconds = _checkedTime(times.payoutDelay);
    }

    // ================================================================================================ a payer's money
    /// @inheritdoc IEscrow
    function deposit(uint128 amount) external nonReentrant {
        _deposit(msg.sender, amount);
    }

    /// @inheritdoc IEscrow
    function depositFor(address payer, uint128 amount) external nonReentrant {
        require(payer != address(0), Escrow_ZeroAddress());
        _deposit(payer, amount);
    }

    /// @inheritdoc IEscrow
    function depositWithPermit(uint128 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external nonReentrant {
        // Whoever copies the permit from the mempool and spends it first must not stop the deposit.
        try IERC20Permit(currency).permit(msg.sender, address(this), amount, deadline, v, r, s) {} catch {}
        _deposit(msg.sender, amount);
    }

    /// @inheritdoc IEscrow
    function allot(address[] calldata payees_, uint128[] calldata amounts) external {
        _checkLengths(payees_, amounts);
        for (uint256 i = 0; i < payees_.length; ++i) {
            require(payees_[i] != address(0), Escrow_ZeroAddress());
            require(amounts[i] != 0, Escrow_ZeroAmount());
            require(amounts[i] <= free[msg.sender], Escrow_Overdraw(amounts[i], free[msg.sender]));
            free[msg.sender] -= amounts[i];
            uint128 allotted = _pairs[msg.sender][payees_[i]].allotted += amounts[i];
            emit Allotted(msg.sender, payees_[i], amounts[i], allotted);
        }
    }

    /// @inheritdoc IEscrow
    function requestThaw(address[] calldata payees_, uint128[] calldata amounts) external {
        _checkLengths(payees_, amounts);
        uint64 thawEnd = _now() + thawSeconds;
        for (uint256 i = 0; i < payees_.length; ++i) {
            Pair storage pair = _pairs[msg.sender][payees_[i]];
            // Clamped, not refused: a claim mined just before must not stop the payer's other rows.
            uint128 amount = _min(amounts[i], pair.allotted - pair.claimed);
            // One clock for all of it: no larger thaw under an older clock (P5).
            emit ThawRequested(msg.sender, payees_[i], pair.thawing, amount, amount == 0 ? 0 : thawEnd);
            (pair.thawing, pair.thawEnd) = (amount, amount == 0 ? 0 : thawEnd);
        }
    }

    /// @inheritdoc IEscrow
    function cancelThaw(address[] calldata payees_) external {
        for (uint256 i = 0; i < payees_.length; ++i) {
            Pair storage pair = _pairs[msg.sender][payees_[i]];
            require(pair.thawing != 0, Escrow_NothingThawing(payees_[i]));
            emit ThawCancelled(msg.sender, payees_[i], pair.thawing);
            (pair.thawing, pair.thawEnd) = (0, 0);
        }
    }

    /// @inheritdoc IEscrow
    function withdraw(address[] calldata payees_, address to) external nonReentrant {
        require(to != address(0), Escrow_ZeroAddress());
        for (uint256 i = 0; i < payees_.length; ++i) {
            _finishThaw(payees_[i]);
        }
        uint128 amount = free[msg.sender];
        require(amount != 0, Escrow_NothingToWithdraw());
        free[msg.sender] = 0;
        emit Withdrawn(msg.sender, to, amount);
        _pay(to, amount);
    }

    // ============================================================================================== a payer's signers
    /// @inheritdoc IEscrow
    function authorizeSigner(address signer, uint128 cap, uint64 deadline, Signature calldata consent) external {
        require(signer != address(0), Escrow_ZeroAddress());
        require(signer != msg.sender, Escrow_SignerIsPayer());
        SignerState storage state = _signers[signer];
        // One payer for ever: what it signed for one payer must never bind another (P12).
        require(state.payer == address(0), Escrow_SignerTaken(signer, state.payer));
        require(block.timestamp <= deadline, Escrow_ConsentExpired(deadline));
        bytes32 digest = SignerConsent({payer: msg.sender, cap: cap, deadline: deadline}).hash();
        address recovered = _recover(_domainSeparatorV4(), digest, consent);
        require(recovered == signer, Escrow_BadConsent(recovered));
        (state.payer, state.cap) = (msg.sender, cap);
        emit SignerAuthorized(msg.sender, signer, cap);
    }

    /// @inheritdoc IEscrow
    function raiseSignerCap(address signer, uint128 newCap) external {
        SignerState storage state = _ownSigner(signer);
        require(state.thawEnd == 0, Escrow_SignerThawing(signer, state.thawEnd));
        require(newCap > state.cap, Escrow_CapNotRaised(state.cap, newCap));
        emit SignerCapRaised(msg.sender, signer, state.cap, newCap);
        state.cap = newCap;
    }

    /// @inheritdoc IEscrow
    function thawSigner(address signer) external {
        SignerState storage state = _ownSigner(signer);
        require(state.thawEnd == 0, Escrow_SignerThawing(signer, state.thawEnd));
        state.thawEnd = _now() + thawSeconds;
        emit SignerThawing(msg.sender, signer, state.thawEnd);
    }

    /// @inheritdoc IEscrow
    function revokeSigner(address signer) external {
        SignerState storage state = _ownSigner(signer);
        require(!state.revoked, Escrow_SignerRevoked(signer));
        // A payee that relied on the signer has the whole window to claim (P11).
        require(state.thawEnd != 0 && _now() >= state.thawEnd, Escrow_SignerNotThawed(signer, state.thawEnd));
        state.revoked = true;
        emit SignerRevoked(msg.sender, signer);
    }

    // ======================================================================================================== a payee
    /// @inheritdoc IEscrow
    function setOperator(address operator) external {
        require(operator != address(0), Escrow_ZeroAddress());
        PayeeState storage keys = _payees[msg.sender].keys;
        address oldOperator = keys.operator;
        (keys.operator, keys.operatorBumpAt) = (operator, 0);
        uint32 generation = _openGeneration(msg.sender, operator);
        emit OperatorSet(msg.sender, operator, oldOperator, generation);
    }

    /// @inheritdoc IEscrow
    function bumpGeneration(address payee) external {
        PayeeState storage keys = _payees[payee].keys;
        address operator = keys.operator;
        require(operator != address(0), Escrow_NoOperator(payee));
        if (msg.sender != payee) {
            require(msg.sender == operator, Escrow_NotPayeeOrOperator(payee, msg.sender));
            require(_now() >= keys.operatorBumpAt, Escrow_BumpTooSoon(keys.operatorBumpAt));
            keys.operatorBumpAt = _now() + OPERATOR_BUMP_SECONDS;
        }
        uint32 generation = _openGeneration(payee, operator);
        emit GenerationBumped(payee, msg.sender, generation - 1, generation);
    }

    /// @inheritdoc IEscrow
    function setPayout(address newPayout) external {
        require(newPayout != address(0), Escrow_ZeroAddress());
        PayeeState storage keys = _payees[msg.sender].keys;
        keys.payout = _payoutOf(msg.sender);
        keys.nextPayout = newPayout;
        keys.payoutAt = _now() + payoutDelaySeconds;
        emit PayoutRequested(msg.sender, keys.payout, newPayout, keys.payoutAt);
    }

    /// @inheritdoc IEscrow
    function collectEarnings(address payee) external nonReentrant {
        EarningsState memory earnings = _payees[payee].earnings.rolledTo(_bucket());
        uint128 amount = earnings.released;
        require(amount != 0, Escrow_NothingReleased(payee));
        earnings.released = 0;
        _payees[payee].earnings.save(earnings);
        address payout = _payoutOf(payee);
        emit EarningsCollected(payee, payout, amount);
        _pay(payout, amount);
    }

    // ======================================================================================================= settling
    /// @inheritdoc IEscrow
    function claim(Item[] calldata items) external returns (Status[] memory statuses) {
        require(items.length <= MAX_BATCH, Escrow_BatchTooLong(items.length, MAX_BATCH));
        statuses = new Status[](items.length);
        bytes32 domain = _domainSeparatorV4();
        address payee = address(0);
        uint128 earned = 0;
        for (uint256 i = 0; i < items.length; ++i) {
            if (items[i].payee != payee) {
                _earn(payee, earned);
                (payee, earned) = (items[i].payee, 0);
            }
            uint128 paid;
            (statuses[i], paid) = _settle(items[i], domain);
            earned += paid;
        }
        _earn(payee, earned);
    }

    /// @dev One row. Never reverts: one bad row must not stop the others (P13).
    function _settle(Item calldata item, bytes32 domain) private returns (Status status, uint128 paid) {
        address signer;
        (status, signer, paid) = _judge(item, domain);
        if (paid == 0) return (status, 0);
        Pair storage pair = _pairs[item.payer][item.payee];
        Lane storage lane = pair.lanes[signer];
        (uint128 claimed, uint32 generation) = (lane.claimed, lane.generation);
        // A later challenge of the generation that ends here must know how far it got.
        if (generation != item.generation && generation != 0) lane.history[generation].top = claimed;
        pair.claimed += paid;
        (lane.claimed, lane.generation) = (claimed + paid, item.generation);
        _emitSettled(item, signer, paid, claimed + paid);
    }

    /// @dev Every reason not to pay a row, then how much to pay (INV2, INV3, INV4).
    function _judge(Item calldata item, bytes32 domain) private view returns (Status, address signer, uint128 paid) {
        GenerationState storage generation = _payees[item.payee].generations[item.generation];
        if (generation.operator == address(0)) return (Status.UnknownGeneration, address(0), 0);
        if (_now() > _claimableUntil(generation)) return (Status.GenerationClosed, address(0), 0);
        if (item.seq > (block.timestamp + SEQ_SLACK_SECONDS) * MICROSECONDS) {
            return (Status.SeqInFuture, address(0), 0);
        }
        if (item.cumulative > item.ceiling) return (Status.AboveCeiling, address(0), 0);
        signer = _recoverVoucherSigner(item, domain);
        Status status = _judgeSigner(item.payer, signer, item.cumulative);
        if (status != Status.Paid) return (status, signer, 0);
        if (_recoverClaimSigner(item, signer, domain) != generation.operator) {
            return (Status.BadClaimSignature, signer, 0);
        }
        (status, paid) = _judgeAmount(item, signer);
        return (status, signer, paid);
    }

    function _judgeSigner(address payer, address signer, uint128 cumulative) private view returns (Status) {
        // A failed recovery gives 0, which must not pass for payer 0.
        if (signer == address(0)) return Status.UnknownSigner;
        if (signer == payer) return Status.Paid;
        SignerState storage state = _signers[signer];
        if (state.payer != payer) return Status.UnknownSigner;
        if (state.revoked) return Status.SignerRevoked;
        if (cumulative > state.cap) return Status.AboveCap;
        return Status.Paid;
    }

    function _judgeAmount(Item calldata item, address signer) private view returns (Status, uint128) {
        Pair storage pair = _pairs[item.payer][item.payee];
        Lane storage lane = pair.lanes[signer];
        // A newer generation has counted on: an older claim would be paid on top of it.
        if (item.generation < lane.generation) return (Status.GenerationOlder, 0);
        uint128 claimed = lane.claimed;
        if (item.cumulative <= claimed) return (Status.NothingNew, 0);
        // Thawing money is still in `allotted`: it stays claimable until the payer has taken it (P5).
        uint128 available = pair.allotted - pair.claimed;
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
        (uint128 returned, uint128 burn, uint128 fromEarnings) = _slash(claim_.payee, generation, excess);
        history.returned += returned;
        free[claim_.payer] += returned;
        emit OverclaimChallenged(
            claim_.payer, claim_.payee, claim_.lane, claim_.generation, excess, returned, burn, fromEarnings, msg.sender
        );
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

    /// @dev Half of what is at stake, at most, goes back; at least as much is burnt, so that convicting oneself never pays
    /// (INV10). Unreleased earnings go first, then stake.
    function _slash(address payee, GenerationState storage generation, uint128 excess)
        private
        returns (uint128 returned, uint128 burn, uint128 fromEarnings)
    {
        EarningsState memory earnings = _payees[payee].earnings.rolledTo(_bucket());
        uint128 unreleased = earnings.unreleased();
        uint128 pot = unreleased + IRegistry(registry).slashable(payee);
        returned = _min(excess, pot / 2);
        uint128 floor = generation.floorBurnt ? 0 : IRegistry(registry).minStake() / FLOOR_DIVISOR;
        burn = _min(pot - returned, returned > floor ? returned : floor);
        require(burn != 0, Escrow_NothingToSlash());
        generation.floorBurnt = true;
        fromEarnings = _min(unreleased, returned + burn);
        earnings.take(fromEarnings);
        _payees[payee].earnings.save(earnings);
        uint128 returnedFromEarnings = _min(returned, fromEarnings);
        burnt += fromEarnings - returnedFromEarnings;
        if (returned + burn > fromEarnings) {
            _slashStake(payee, returned - returnedFromEarnings, returned + burn - fromEarnings);
        }
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
        bytes32 domain = _domainSeparatorV4();
        for (uint256 i = 0; i < items.length; ++i) {
            (statuses[i], lanes[i], paid[i]) = _judge(items[i], domain);
        }
    }

    /// @inheritdoc IEscrow
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IEscrow
    function pairs(address payer, address payee) external view returns (PairState memory) {
        Pair storage pair = _pairs[payer][payee];
        return PairState(pair.allotted, pair.claimed, pair.thawing, pair.thawEnd);
    }

    /// @inheritdoc IEscrow
    function cover(address payer, address payee) external view returns (uint128) {
        Pair storage pair = _pairs[payer][payee];
        return pair.allotted - pair.thawing;
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
    function signerState(address signer) external view returns (SignerState memory) {
        return _signers[signer];
    }

    /// @inheritdoc IEscrow
    function payees(address payee) external view returns (PayeeState memory state) {
        state = _payees[payee].keys;
        state.payout = _payoutOf(payee);
        if (_now() >= state.payoutAt) (state.nextPayout, state.payoutAt) = (address(0), 0);
    }

    /// @inheritdoc IEscrow
    function generationState(address payee, uint32 generation) external view returns (GenerationState memory) {
        return _payees[payee].generations[generation];
    }

    /// @inheritdoc IEscrow
    function operatorOf(address payee, uint32 generation) external view returns (address) {
        return _payees[payee].generations[generation].operator;
    }

    /// @inheritdoc IEscrow
    function earningsOf(address payee) external view returns (EarningsState memory) {
        return _payees[payee].earnings.rolledTo(_bucket());
    }

    // ====================================================================================================== internals
    function _deposit(address payer, uint128 amount) private {
        require(amount != 0, Escrow_ZeroAmount());
        free[payer] += amount;
        emit Deposited(payer, msg.sender, amount);
        uint256 before = IERC20(currency).balanceOf(address(this));
        IERC20(currency).safeTransferFrom(msg.sender, address(this), amount);
        uint256 balance = IERC20(currency).balanceOf(address(this));
        _checkMoved(amount, balance - before);
        // Every sum of balances fits u128 from here on, so no claim and no collection can overflow (INV7).
        require(balance <= type(uint128).max, Escrow_SupplyTooLarge(balance));
    }

    /// @dev A currency that takes more than it was told to would take it from other users.
    function _pay(address to, uint128 amount) private {
        uint256 before = IERC20(currency).balanceOf(address(this));
        IERC20(currency).safeTransfer(to, amount);
        _checkMoved(amount, before - IERC20(currency).balanceOf(address(this)));
    }

    function _finishThaw(address payee) private {
        Pair storage pair = _pairs[msg.sender][payee];
        if (pair.thawing == 0 || _now() < pair.thawEnd) return;
        uint128 amount = _min(pair.thawing, pair.allotted - pair.claimed);
        pair.allotted -= amount;
        (pair.thawing, pair.thawEnd) = (0, 0);
        free[msg.sender] += amount;
        emit ThawFinished(msg.sender, payee, amount, pair.allotted);
    }

    function _openGeneration(address payee, address operator) private returns (uint32 generation) {
        Payee storage state = _payees[payee];
        state.generations[state.keys.generation].closedAt = _now();
        generation = ++state.keys.generation;
        state.generations[generation].operator = operator;
    }

    function _earn(address payee, uint128 amount) private {
        if (amount == 0) return;
        EarningsState memory earnings = _payees[payee].earnings.rolledTo(_bucket());
        earnings.current += amount;
        _payees[payee].earnings.save(earnings);
    }

    /// @dev A function of its own because eleven event fields leave no room on the stack.
    function _emitSettled(Item calldata item, address lane, uint128 paid, uint128 claimedAfter) private {
        emit Settled(
            item.payer,
            item.payee,
            lane,
            item.generation,
            item.seq,
            item.cumulative,
            item.ceiling,
            paid,
            claimedAfter,
            item.count,
            item.receiptsRoot
        );
    }

    function _recoverVoucherSigner(Item calldata item, bytes32 domain) private pure returns (address) {
        Voucher memory voucher = Voucher(item.payer, item.payee, item.generation, item.ceiling, item.context);
        return _recover(domain, voucher.hash(), item.voucherSig);
    }

    function _recoverClaimSigner(Item calldata item, address lane, bytes32 domain) private pure returns (address) {
        Claim memory claim_ = Claim({
            payer: item.payer,
            payee: item.payee,
            lane: lane,
            generation: item.generation,
            seq: item.seq,
            cumulative: item.cumulative,
            receiptsRoot: item.receiptsRoot,
            count: item.count
        });
        return _recover(domain, claim_.hash(), item.claimSig);
    }

    /// @dev 0 for a malformed signature; every caller compares with an address that is not 0.
    function _recover(bytes32 domain, bytes32 structHash, Signature calldata sig)
        private
        pure
        returns (address signer)
    {
        (signer,,) = ECDSA.tryRecover(MessageHashUtils.toTypedDataHash(domain, structHash), sig.r, sig.vs);
    }

    function _checkOperatorSigned(address operator, bytes32 structHash, Signature calldata sig) private view {
        address recovered = _recover(_domainSeparatorV4(), structHash, sig);
        require(recovered == operator && operator != address(0), Escrow_NotSignedByOperator(recovered, operator));
    }

    function _ownSigner(address signer) private view returns (SignerState storage state) {
        state = _signers[signer];
        require(state.payer == msg.sender, Escrow_NotSignersPayer(signer, msg.sender));
    }

    function _claimableUntil(GenerationState storage generation) private view returns (uint64) {
        return generation.closedAt == 0 ? type(uint64).max : generation.closedAt + thawSeconds;
    }

    function _payoutOf(address payee) private view returns (address payout) {
        PayeeState storage keys = _payees[payee].keys;
        payout = keys.payoutAt != 0 && _now() >= keys.payoutAt ? keys.nextPayout : keys.payout;
        if (payout == address(0)) payout = payee;
    }

    function _bucket() private view returns (uint64) {
        return _now() / holdSeconds;
    }

    function _now() private view returns (uint64) {
        return uint64(block.timestamp);
    }

    function _checkLengths(address[] calldata payees_, uint128[] calldata amounts) private pure {
        require(payees_.length == amounts.length, Escrow_LengthMismatch(payees_.length, amounts.length));
    }

    function _checkMoved(uint256 asked, uint256 moved) private pure {
        require(moved == asked, Escrow_AmountMismatch(asked, moved));
    }

    function _checkedTime(uint64 time) private pure returns (uint64) {
        require(time != 0 && time <= MAX_SECONDS, Escrow_TimeOutOfBounds(time));
        return time;
    }

    function _min(uint128 a, uint128 b) private pure returns (uint128) {
        return a < b ? a : b;
    }
}
