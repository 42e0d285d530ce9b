"""A small model of escrow and registry that emits their events and answers their views: the chain of a history.

It shares no code with the auditor; encoding is by eth_abi and the shipped ABI.
"""

from dataclasses import dataclass, field

from sha3 import keccak_256

BLOCK_SECONDS = 12
THAW_SECONDS = 86_400
HOLD_SECONDS = 86_400
GENESIS_AT = 1_800_000_000
DEPLOY_BLOCK = 1


def keccak(octets: bytes) -> bytes:
    return keccak_256(octets).digest()


def hexed(octets: bytes) -> str:
    return "0x" + octets.hex()


def address_of(name: str) -> str:
    """A stable address for something that signs nothing."""
    return hexed(keccak(f"address {name}".encode())[12:])


@dataclass
class Model:
    """State as the contracts would hold it; every call appends its events. Addresses are hex texts."""

    chain_id: int = 31337
    escrow: str = address_of("escrow")
    registry: str = address_of("registry")
    currency: str = address_of("currency")
    block: int = DEPLOY_BLOCK
    skipped: int = 0
    events: list[dict] = field(default_factory=list)
    times: dict[int, int] = field(default_factory=dict)
    free: dict = field(default_factory=dict)
    pairs: dict = field(default_factory=dict)
    lanes: dict = field(default_factory=dict)
    signers: dict = field(default_factory=dict)
    payees: dict = field(default_factory=dict)
    operators: dict = field(default_factory=dict)
    closed: dict = field(default_factory=dict)
    tops: dict = field(default_factory=dict)
    returned: dict = field(default_factory=dict)
    earnings: dict = field(default_factory=dict)
    providers: dict = field(default_factory=dict)
    burnt: int = 0
    stake_burnt: int = 0
    held: int = 0
    staked: int = 0

    @property
    def now(self) -> int:
        return GENESIS_AT + self.block * BLOCK_SECONDS + self.skipped

    def mine(self, seconds: int = 0) -> None:
        """A new block; `seconds` pass besides the block time."""
        self.skipped += seconds
        self.block += 1
        self.times[self.block] = self.now

    def emit(self, contract: str, name: str, **args: int | str) -> dict:
        """An event in a block of its own."""
        self.mine()
        return self.log(contract, name, **args)

    def log(self, contract: str, name: str, **args: int | str) -> dict:
        """An event in the present block."""
        event = {"contract": contract, "name": name, "block": self.block, "args": args}
        self.events.append(event)
        return event

    # payers
    def deposit(self, payer: str, amount: int) -> None:
        self.free[payer] = self.free.get(payer, 0) + amount
        self.held += amount
        self.emit("escrow", "Deposited", payer=payer, **{"from": payer}, amount=amount)

    def allot(self, payer: str, payee: str, amount: int) -> None:
        pair = self.pairs.setdefault((payer, payee), [0, 0, 0, 0])
        self.free[payer] -= amount
        pair[0] += amount
        self.emit("escrow", "Allotted", payer=payer, payee=payee, amount=amount, allotted=pair[0])

    def request_thaw(self, payer: str, payee: str, amount: int) -> None:
        pair = self.pairs[payer, payee]
        old, pair[2] = pair[2], amount
        self.mine()
        pair[3] = self.now + THAW_SECONDS
        self.log("escrow", "ThawRequested", payer=payer, payee=payee, oldAmount=old, newAmount=amount, thawEnd=pair[3])

    def finish_thaw(self, payer: str, payee: str) -> None:
        pair = self.pairs[payer, payee]
        amount = min(pair[2], pair[0] - pair[1])
        pair[0] -= amount
        pair[2] = pair[3] = 0
        self.free[payer] += amount
        self.emit("escrow", "ThawFinished", payer=payer, payee=payee, amount=amount, allotted=pair[0])

    def withdraw(self, payer: str) -> None:
        amount, self.free[payer] = self.free[payer], 0
        self.held -= amount
        self.emit("escrow", "Withdrawn", payer=payer, to=payer, amount=amount)

    def authorize(self, payer: str, signer: str, cap: int) -> None:
        self.signers[signer] = [payer, 0, False, cap]
        self.emit("escrow", "SignerAuthorized", payer=payer, signer=signer, cap=cap)

    # payees
    def set_operator(self, payee: str, operator: str) -> None:
        state = self.payees.setdefault(payee, ["0x" + "00" * 20, 0, payee])
        old, state[0] = state[0], operator
        state[1] += 1
        self.operators[payee, state[1]] = operator
        self.emit("escrow", "OperatorSet", payee=payee, operator=operator, oldOperator=old, generation=state[1])
        self.closed[payee, state[1] - 1] = self.now

    def bump(self, payee: str) -> None:
        state = self.payees[payee]
        state[1] += 1
        self.operators[payee, state[1]] = state[0]
        old, new = state[1] - 1, state[1]
        self.emit("escrow", "GenerationBumped", payee=payee, by=payee, oldGeneration=old, newGeneration=new)
        self.closed[payee, old] = self.now

    def register(self, payee: str, endpoint: str, offer_hash: str, stake: int) -> None:
        self.providers[payee] = [True, 0, stake, 0, offer_hash, endpoint]
        self.staked += stake
        self.emit("registry", "Registered", provider=payee, endpoint=endpoint, offerHash=offer_hash, stake=stake)

    def set_offer(self, payee: str, offer_hash: str) -> None:
        provider = self.providers[payee]
        old, provider[4] = provider[4], offer_hash
        self.emit("registry", "OfferSet", provider=payee, oldOfferHash=old, newOfferHash=offer_hash)

    def settle(self, claim: dict, ceiling: int) -> dict:
        """A mined claim: pays what the pair still has."""
        payer, payee, signer = claim["payer"], claim["payee"], claim["lane"]
        pair = self.pairs[payer, payee]
        lane = self.lanes.setdefault((payer, payee, signer), [0, 0])
        paid = min(claim["cumulative"] - lane[0], pair[0] - pair[1])
        pair[1] += paid
        lane[0], lane[1] = lane[0] + paid, claim["generation"]
        self.tops[payer, payee, signer, claim["generation"]] = lane[0]
        self.earnings[payee] = self.earnings.get(payee, 0) + paid
        return self.emit(
            "escrow",
            "Settled",
            **{name: claim[name] for name in ("payer", "payee", "lane", "generation", "seq", "cumulative")},
            ceiling=ceiling,
            paid=paid,
            claimedAfter=lane[0],
            count=claim["count"],
            root=claim["root"],
        )

    def collect(self, payee: str, amount: int) -> None:
        self.earnings[payee] -= amount
        self.held -= amount
        payout = self.payees[payee][2]
        self.emit("escrow", "EarningsCollected", payee=payee, payout=payout, amount=amount)

    def views(self) -> dict[str, list]:
        """Every view the auditor may call, by `contract signature arguments`, with its results."""
        rows: dict[str, list] = {
            "escrow thawSeconds()": [THAW_SECONDS],
            "escrow holdSeconds()": [HOLD_SECONDS],
            "escrow burnt()": [self.burnt],
            "registry burnt()": [self.stake_burnt],
            f"currency balanceOf(address) {self.escrow}": [self.held],
            f"currency balanceOf(address) {self.registry}": [self.staked],
        }
        rows |= {f"escrow free(address) {payer}": [amount] for payer, amount in self.free.items()}
        rows |= {f"escrow pairs(address,address) {a} {b}": list(pair) for (a, b), pair in self.pairs.items()}
        for (payer, payee, signer), lane in self.lanes.items():
            rows[f"escrow laneState(address,address,address) {payer} {payee} {signer}"] = list(lane)
        for signer, (payer, end, revoked, cap) in self.signers.items():
            rows[f"escrow signerState(address) {signer}"] = [payer, end, revoked, cap]
        zero = "0x" + "00" * 20
        for payee, (operator, generation, payout) in self.payees.items():
            rows[f"escrow payees(address) {payee}"] = [operator, generation, 0, payout, zero, 0]
            rows[f"escrow earningsOf(address) {payee}"] = [0, 0, self.earnings.get(payee, 0), 0]
        for (payee, generation), operator in self.operators.items():
            closed = self.closed.get((payee, generation), 0)
            rows[f"escrow generationState(address,uint32) {payee} {generation}"] = [operator, closed]
        for key in self.tops.keys() | self.returned.keys():
            name = " ".join(str(part) for part in key)
            both = [self.tops.get(key, 0), self.returned.get(key, 0)]
            rows[f"escrow laneGeneration(address,address,address,uint32) {name}"] = both
        for payee, state in self.providers.items():
            rows[f"registry provider(address) {payee}"] = [payee, *state]
        return rows
