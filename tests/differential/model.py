"""What `Escrow` and `Registry` should do, written from the protocol text and not from the Solidity.

Pure: plain dictionaries, no chain, no hashing. A signature is the pair (who signed, what was signed); it is good for
exactly that. A call either raises `Reverted(error, arguments)` or returns, leaving its events in `events`.
"""

from collections import defaultdict
from dataclasses import dataclass, field

BATCH_LIMIT = 50
SEQ_SLACK_SECONDS = 60
OPERATOR_BUMP_SECONDS = 3600
ENDPOINT_LIMIT = 256
FLOOR_DIVISOR = 20
NOBODY = "0x" + "00" * 20


class Reverted(Exception):
    """The call changes nothing and ends with this error."""

    def __init__(self, error: str, *arguments: object) -> None:
        super().__init__(error, arguments)
        self.error = error
        self.arguments = arguments


def check(holds: bool, error: str, *arguments: object) -> None:  # noqa: FBT001 - the condition is the subject
    """Reverts unless the condition holds."""
    if not holds:
        raise Reverted(error, *arguments)


@dataclass(slots=True)
class Pair:
    """Lifetime totals of a payer towards a payee, and what is on its way back."""

    allotted: int = 0
    claimed: int = 0
    thawing: int = 0
    thaw_end: int = 0


@dataclass(slots=True)
class Lane:
    """What was claimed through one signer of a pair."""

    claimed: int = 0
    generation: int = 0
    tops: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    returned: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def top(self, generation: int) -> int:
        """The claimed total after the last claim mined in a generation."""
        return self.claimed if generation == self.generation else self.tops[generation]


@dataclass(slots=True)
class Signer:
    """A further signer; without payer it is unknown."""

    payer: str = NOBODY
    thaw_end: int = 0
    revoked: bool = False
    cap: int = 0


@dataclass(slots=True)
class Generation:
    """One operator key's reign."""

    operator: str = NOBODY
    closed_at: int = 0
    floor_burnt: bool = False


@dataclass(slots=True)
class Payee:
    """A payee's keys, and its earnings as (bucket, amount) entries that nobody ever rolls."""

    operator: str = NOBODY
    generation: int = 0
    operator_bump_at: int = 0
    payouts: list[tuple[int, str]] = field(default_factory=list)
    generations: dict[int, Generation] = field(default_factory=lambda: defaultdict(Generation))
    earned: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    collected: int = 0


@dataclass(slots=True)
class Provider:
    """A stake."""

    listed: bool = False
    stake: int = 0
    unbonding: int = 0
    unbond_end: int = 0
    offer: bytes = bytes(32)
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Times:
    """All windows, in seconds."""

    thaw: int
    hold: int
    payout_delay: int
    unbonding: int


@dataclass(frozen=True, slots=True)
class Signed:
    """Who signed, and the message."""

    by: str
    message: object


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a claim: the two messages as sent, and the two signatures."""

    payer: str
    payee: str
    generation: int
    seq: int
    cumulative: int
    root: bytes
    count: int
    ceiling: int
    context: bytes
    voucher: Signed
    claim: Signed

    def voucher_message(self) -> tuple[object, ...]:
        """What the voucher's signature must cover."""
        return ("Voucher", self.payer, self.payee, self.generation, self.ceiling, self.context)

    def claim_message(self, lane: str) -> tuple[object, ...]:
        """What the claim's signature must cover."""
        return (
            "Claim",
            self.payer,
            self.payee,
            lane,
            self.generation,
            self.seq,
            self.cumulative,
            self.root,
            self.count,
        )


class Model:
    """Both contracts and the currency balances of everybody."""

    def __init__(self, times: Times, min_stake: int, now: int) -> None:
        self.times, self.min_stake, self.now = times, min_stake, now
        self.free: dict[str, int] = defaultdict(int)
        self.pairs: dict[tuple[str, str], Pair] = defaultdict(Pair)
        self.lanes: dict[tuple[str, str, str], Lane] = defaultdict(Lane)
        self.signers: dict[str, Signer] = defaultdict(Signer)
        self.payees: dict[str, Payee] = defaultdict(Payee)
        self.providers: dict[str, Provider] = defaultdict(Provider)
        self.wallets: dict[str, int] = defaultdict(int)
        self.escrow_burnt = 0
        self.registry_burnt = 0
        self.events: list[tuple[object, ...]] = []

    def _emit(self, name: str, *arguments: object) -> None:
        self.events.append((name, *arguments))

    # ------------------------------------------------------------------------------------------- a payer's money
    def deposit_for(self, caller: str, payer: str, amount: int) -> None:
        check(payer != NOBODY, "Escrow_ZeroAddress")
        check(amount > 0, "Escrow_ZeroAmount")
        check(self.wallets[caller] >= amount, "ERC20InsufficientBalance", caller, self.wallets[caller], amount)
        self.wallets[caller] -= amount
        self.free[payer] += amount
        self._emit("Deposited", payer, caller, amount)

    def allot(self, caller: str, rows: list[tuple[str, int]]) -> None:
        for payee, amount in rows:
            check(payee != NOBODY, "Escrow_ZeroAddress")
            check(amount > 0, "Escrow_ZeroAmount")
            check(amount <= self.free[caller], "Escrow_Overdraw", amount, self.free[caller])
            self.free[caller] -= amount
            self.pairs[caller, payee].allotted += amount
            self._emit("Allotted", caller, payee, amount, self.pairs[caller, payee].allotted)

    def request_thaw(self, caller: str, rows: list[tuple[str, int]]) -> None:
        for payee, wanted in rows:
            pair = self.pairs[caller, payee]
            amount = min(wanted, pair.allotted - pair.claimed)
            end = self.now + self.times.thaw if amount else 0
            self._emit("ThawRequested", caller, payee, pair.thawing, amount, end)
            pair.thawing, pair.thaw_end = amount, end

    def cancel_thaw(self, caller: str, payees: list[str]) -> None:
        for payee in payees:
            pair = self.pairs[caller, payee]
            check(pair.thawing > 0, "Escrow_NothingThawing", payee)
            self._emit("ThawCancelled", caller, payee, pair.thawing)
            pair.thawing = pair.thaw_end = 0

    def withdraw(self, caller: str, payees: list[str], to: str) -> None:
        check(to != NOBODY, "Escrow_ZeroAddress")
        for payee in payees:
            pair = self.pairs[caller, payee]
            if pair.thawing == 0 or self.now < pair.thaw_end:
                continue
            amount = min(pair.thawing, pair.allotted - pair.claimed)
            pair.allotted -= amount
            pair.thawing = pair.thaw_end = 0
            self.free[caller] += amount
            self._emit("ThawFinished", caller, payee, amount, pair.allotted)
        amount = self.free[caller]
        check(amount > 0, "Escrow_NothingToWithdraw")
        self.free[caller] = 0
        self.wallets[to] += amount
        self._emit("Withdrawn", caller, to, amount)

    # ----------------------------------------------------------------------------------------------------- signers
    def authorize_signer(self, caller: str, signer: str, cap: int, deadline: int, consent: Signed) -> None:
        check(signer != NOBODY, "Escrow_ZeroAddress")
        check(signer != caller, "Escrow_SignerIsPayer")
        state = self.signers[signer]
        check(state.payer == NOBODY, "Escrow_SignerTaken", signer, state.payer)
        check(self.now <= deadline, "Escrow_ConsentExpired", deadline)
        agreed = consent.by == signer and consent.message == ("SignerConsent", caller, cap, deadline)
        check(agreed, "Escrow_BadConsent")
        state.payer, state.cap = caller, cap
        self._emit("SignerAuthorized", caller, signer, cap)

    def _own_signer(self, caller: str, signer: str) -> Signer:
        check(self.signers[signer].payer == caller, "Escrow_NotSignersPayer", signer, caller)
        return self.signers[signer]

    def raise_signer_cap(self, caller: str, signer: str, cap: int) -> None:
        state = self._own_signer(caller, signer)
        check(state.thaw_end == 0, "Escrow_SignerThawing", signer, state.thaw_end)
        check(cap > state.cap, "Escrow_CapNotRaised", state.cap, cap)
        self._emit("SignerCapRaised", caller, signer, state.cap, cap)
        state.cap = cap

    def thaw_signer(self, caller: str, signer: str) -> None:
        state = self._own_signer(caller, signer)
        check(state.thaw_end == 0, "Escrow_SignerThawing", signer, state.thaw_end)
        state.thaw_end = self.now + self.times.thaw
        self._emit("SignerThawing", caller, signer, state.thaw_end)

    def revoke_signer(self, caller: str, signer: str) -> None:
        state = self._own_signer(caller, signer)
        check(not state.revoked, "Escrow_SignerRevoked", signer)
        ripe = state.thaw_end != 0 and self.now >= state.thaw_end
        check(ripe, "Escrow_SignerNotThawed", signer, state.thaw_end)
        state.revoked = True
        self._emit("SignerRevoked", caller, signer)

    # ------------------------------------------------------------------------------------------------------ payees
    def _open_generation(self, payee: Payee) -> None:
        if payee.generation:
            payee.generations[payee.generation].closed_at = self.now
        payee.generation += 1
        payee.generations[payee.generation] = Generation(payee.operator)

    def set_operator(self, caller: str, operator: str) -> None:
        check(operator != NOBODY, "Escrow_ZeroAddress")
        payee = self.payees[caller]
        old, payee.operator, payee.operator_bump_at = payee.operator, operator, 0
        self._open_generation(payee)
        self._emit("OperatorSet", caller, operator, old, payee.generation)

    def bump_generation(self, caller: str, whom: str) -> None:
        payee = self.payees[whom]
        check(payee.operator != NOBODY, "Escrow_NoOperator", whom)
        if caller != whom:
            check(caller == payee.operator, "Escrow_NotPayeeOrOperator", whom, caller)
            check(self.now >= payee.operator_bump_at, "Escrow_BumpTooSoon", payee.operator_bump_at)
            payee.operator_bump_at = self.now + OPERATOR_BUMP_SECONDS
        self._open_generation(payee)
        self._emit("GenerationBumped", whom, caller, payee.generation - 1, payee.generation)

    def payout(self, whom: str) -> str:
        """The payout address in force: the newest whose delay is over; requests replace what is pending."""
        ripe = [address for due, address in self.payees[whom].payouts if self.now >= due]
        return ripe[-1] if ripe else whom

    def pending_payout(self, whom: str) -> tuple[str, int]:
        """The next payout address and when, or (nobody, 0)."""
        later = [(address, due) for due, address in self.payees[whom].payouts if self.now < due]
        return later[-1] if later else (NOBODY, 0)

    def set_payout(self, caller: str, to: str) -> None:
        check(to != NOBODY, "Escrow_ZeroAddress")
        due = self.now + self.times.payout_delay
        payouts = self.payees[caller].payouts
        payouts[:] = [entry for entry in payouts if self.now >= entry[0]] + [(due, to)]
        self._emit("PayoutRequested", caller, self.payout(caller), to, due)

    # ---------------------------------------------------------------------------------------------------- earnings
    def bucket(self) -> int:
        return self.now // self.times.hold

    def released(self, whom: str) -> int:
        payee = self.payees[whom]
        return sum(amount for b, amount in payee.earned.items() if b + 2 <= self.bucket()) - payee.collected

    def collect_earnings(self, _caller: str, whom: str) -> None:
        amount = self.released(whom)
        check(amount > 0, "Escrow_NothingReleased", whom)
        self.payees[whom].collected += amount
        self.wallets[self.payout(whom)] += amount
        self._emit("EarningsCollected", whom, self.payout(whom), amount)

    # ---------------------------------------------------------------------------------------------------- settling
    def claim(self, _caller: str, rows: list[Row]) -> list[str]:
        check(len(rows) <= BATCH_LIMIT, "Escrow_BatchTooLong", len(rows), BATCH_LIMIT)
        return [self._settle(row) for row in rows]

    def _settle(self, row: Row) -> str:
        lane_of = row.voucher.by
        refusal = self._refusal(row)
        if refusal:
            return refusal
        pair, lane = self.pairs[row.payer, row.payee], self.lanes[row.payer, row.payee, lane_of]
        paid = min(row.cumulative - lane.claimed, pair.allotted - pair.claimed)
        if lane.generation != row.generation:
            lane.tops[lane.generation] = lane.claimed
            lane.generation = row.generation
        lane.claimed += paid
        pair.claimed += paid
        self.payees[row.payee].earned[self.bucket()] += paid
        self._emit(
            "Settled", row.payer, row.payee, lane_of, row.generation, row.seq, row.cumulative, row.ceiling, paid,
            lane.claimed, row.count, row.root,
        )  # fmt: skip
        return "Paid" if lane.claimed == row.cumulative else "PaidPart"

    def _refusal(self, row: Row) -> str | None:
        generation = self.payees[row.payee].generations.get(row.generation)
        lane = self.lanes[row.payer, row.payee, row.voucher.by]
        pair = self.pairs[row.payer, row.payee]
        signer = self.signers[row.voucher.by]
        further = row.voucher.by != row.payer
        closed = generation is not None and generation.closed_at and self.now > generation.closed_at + self.times.thaw
        reasons = (
            (generation is None, "UnknownGeneration"),
            (closed, "GenerationClosed"),
            (row.seq > (self.now + SEQ_SLACK_SECONDS) * 1_000_000, "SeqInFuture"),
            (row.cumulative > row.ceiling, "AboveCeiling"),
            (row.voucher.message != row.voucher_message(), "UnknownSigner"),
            (further and signer.payer != row.payer, "UnknownSigner"),
            (further and signer.revoked, "SignerRevoked"),
            (further and row.cumulative > signer.cap, "AboveCap"),
            (row.claim.message != row.claim_message(row.voucher.by), "BadClaimSignature"),
            (generation is not None and row.claim.by != generation.operator, "BadClaimSignature"),
            (row.generation < lane.generation, "GenerationOlder"),
            (row.cumulative <= lane.claimed, "NothingNew"),
            (pair.allotted == pair.claimed, "NoCover"),
        )
        return next((name for holds, name in reasons if holds), None)

    # ------------------------------------------------------------------------------------------------- challenging
    def challenge(self, caller: str, claim: tuple, claim_by: Signed, receipt: tuple, receipt_by: Signed) -> None:
        """`claim` and `receipt`: (payer, payee, lane, generation, seq, cumulative)."""
        check(claim[:4] == receipt[:4], "Escrow_NotSameLane")
        check(receipt[4] >= claim[4] and receipt[5] < claim[5], "Escrow_NoContradiction")
        payer, payee, lane_of, number = claim[:4]
        generation = self.payees[payee].generations.get(number, Generation())
        for signed, message in ((claim_by, claim), (receipt_by, receipt)):
            good = signed.by == generation.operator and signed.message == message
            check(good, "Escrow_NotSignedByOperator")
        if generation.closed_at:
            until = generation.closed_at + self.times.thaw + self.times.hold
            check(self.now <= until, "Escrow_ChallengeTooLate", until)
        lane = self.lanes[payer, payee, lane_of]
        excess = min(claim[5], lane.top(number)) - lane.returned[number] - receipt[5]
        check(excess > 0, "Escrow_NoExcess")
        self._convict(caller, claim, generation, excess)

    def _convict(self, caller: str, claim: tuple, generation: Generation, excess: int) -> None:
        payer, payee, lane_of, number = claim[:4]
        provider = self.providers[payee]
        unreleased = {b: a for b, a in self.payees[payee].earned.items() if b + 2 > self.bucket()}
        pot = sum(unreleased.values()) + provider.stake + provider.unbonding
        returned = min(excess, pot // 2)
        floor = 0 if generation.floor_burnt else self.min_stake // FLOOR_DIVISOR
        burnt = min(pot - returned, max(returned, floor))
        check(burnt > 0, "Escrow_NothingToSlash")
        generation.floor_burnt = True
        self.lanes[payer, payee, lane_of].returned[number] += returned
        self.free[payer] += returned
        taken = self._take_earnings(payee, unreleased, returned + burnt)
        from_earnings = min(returned, taken)
        self.escrow_burnt += taken - from_earnings
        self._emit("OverclaimChallenged", *claim[:4], excess, returned, burnt, taken, caller)
        if returned + burnt > taken:
            self._take_stake(payee, "escrow", returned - from_earnings, burnt - (taken - from_earnings))

    def _take_earnings(self, payee: str, unreleased: dict[int, int], wanted: int) -> int:
        taken = 0
        for bucket in sorted(unreleased):
            part = min(unreleased[bucket], wanted - taken)
            self.payees[payee].earned[bucket] -= part
            taken += part
        return taken

    # ---------------------------------------------------------------------------------------------------- registry
    def register(self, caller: str, endpoint: str, offer: bytes, stake: int) -> None:
        provider = self.providers[caller]
        check(not provider.listed, "Registry_AlreadyListed", caller)
        check(stake >= self.min_stake, "Registry_StakeTooLow", stake, self.min_stake)
        length = len(endpoint.encode())
        check(0 < length <= ENDPOINT_LIMIT, "Registry_EndpointLength", length, ENDPOINT_LIMIT)
        check(self.wallets[caller] >= stake, "ERC20InsufficientBalance", caller, self.wallets[caller], stake)
        self.wallets[caller] -= stake
        provider.listed, provider.stake, provider.offer, provider.endpoint = True, stake, offer, endpoint
        self._emit("Registered", caller, endpoint, offer, stake)

    def _listed(self, caller: str) -> Provider:
        check(self.providers[caller].listed, "Registry_NotListed", caller)
        return self.providers[caller]

    def add_stake(self, caller: str, amount: int) -> None:
        provider = self._listed(caller)
        check(amount > 0, "Registry_ZeroAmount")
        check(self.wallets[caller] >= amount, "ERC20InsufficientBalance", caller, self.wallets[caller], amount)
        self.wallets[caller] -= amount
        provider.stake += amount
        self._emit("StakeAdded", caller, amount, provider.stake)

    def request_unstake(self, caller: str, amount: int) -> None:
        provider = self._listed(caller)
        check(amount > 0, "Registry_ZeroAmount")
        check(amount <= provider.stake, "Registry_Overdraw", amount, provider.stake)
        left = provider.stake - amount
        check(left >= self.min_stake, "Registry_StakeTooLow", left, self.min_stake)
        provider.stake, provider.unbonding = left, provider.unbonding + amount
        provider.unbond_end = self.now + self.times.unbonding
        self._emit("UnstakeRequested", caller, amount, left, provider.unbonding, provider.unbond_end)

    def deregister(self, caller: str) -> None:
        provider = self._listed(caller)
        provider.listed = False
        provider.stake, provider.unbonding = 0, provider.unbonding + provider.stake
        provider.unbond_end = self.now + self.times.unbonding
        self._emit("Deregistered", caller, provider.unbonding, provider.unbond_end)

    def withdraw_stake(self, caller: str, to: str) -> None:
        check(to != NOBODY, "Registry_ZeroAddress")
        provider = self.providers[caller]
        check(provider.unbonding > 0, "Registry_NothingUnbonding", caller)
        check(self.now >= provider.unbond_end, "Registry_StillUnbonding", provider.unbond_end)
        amount, provider.unbonding, provider.unbond_end = provider.unbonding, 0, 0
        self.wallets[to] += amount
        self._emit("StakeWithdrawn", caller, to, amount)

    def slash(self, caller: str, whom: str, paid: int, burn: int) -> None:
        check(caller == "duels", "Registry_NotSlasher")
        self._take_stake(whom, caller, paid, burn)

    def _take_stake(self, whom: str, by: str, paid: int, burn: int) -> None:
        provider = self.providers[whom]
        taken = []
        for wanted in (paid, burn):
            from_stake = min(wanted, provider.stake)
            from_unbonding = min(wanted - from_stake, provider.unbonding)
            provider.stake -= from_stake
            provider.unbonding -= from_unbonding
            taken.append(from_stake + from_unbonding)
        self.registry_burnt += taken[1]
        if by != "escrow":
            self.wallets[by] += taken[0]
        self._emit("Slashed", whom, by, *taken, provider.stake, provider.unbonding)
