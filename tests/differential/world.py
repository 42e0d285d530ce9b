"""Both sides at once: the model and the chain, the people who call them, and the comparison after every call."""

import copy
from collections.abc import Callable
from dataclasses import replace

from coincurve import PrivateKey
from eth_abi import decode
from eth_utils import to_checksum_address

from node.core import messages
from node.core.hashing import address_word, keccak, word
from tests.differential.chain import DUELS, Chain, Contract, type_of
from tests.differential.model import NOBODY, Model, Reverted, Row, Signed, Times

NOW = 1_800_000_000
MIN_STAKE = 1000
TIMES = Times(thaw=1000, hold=700, payout_delay=1500, unbonding=1000 + 2 * 500 + 48 * 3600)
WINDOW = 500
# The model cannot know which address a wrong signature recovers to.
UNKNOWABLE = {"Escrow_BadConsent", "Escrow_NotSignedByOperator", "Registry_NotSlasher"}
# Calls that may fail in a later row: the model takes the earlier ones back as the chain does.
MANY_ROWS = {"allot", "cancelThaw", "withdraw"}
STATUSES = (
    "Paid", "PaidPart", "NothingNew", "NoCover", "UnknownGeneration", "GenerationClosed", "GenerationOlder",
    "SeqInFuture", "AboveCeiling", "AboveCap", "UnknownSigner", "SignerRevoked", "BadClaimSignature",
)  # fmt: skip


def _key(seed: str) -> tuple[str, PrivateKey]:
    key = PrivateKey(keccak(seed.encode()))
    return to_checksum_address(keccak(key.public_key.format(compressed=False)[1:])[12:]), key


class World:
    """Three payers, three payees (one of them a payer), two operator keys, two further signers, a stranger."""

    def __init__(self) -> None:
        self.model = Model(TIMES, MIN_STAKE, NOW)
        self.chain = Chain(TIMES, WINDOW, MIN_STAKE, NOW)
        people = {name: _key(name) for name in ("ann", "ben", "cyd", "op1", "op2", "sig1", "sig2", "dan", "eve")}
        self.address = {name: pair[0] for name, pair in people.items()}
        self.keys = {pair[0]: pair[1] for pair in people.values()}
        self.payers = [self.address[name] for name in ("ann", "ben", "cyd")]
        self.payees = [self.address[name] for name in ("dan", "eve", "cyd")]
        self.operators = [self.address[name] for name in ("op1", "op2")]
        self.signers = [self.address[name] for name in ("sig1", "sig2")]
        self.everybody = list(self.address.values())
        self.steps = 0
        for who in self.everybody:
            for spender in (self.chain.escrow, self.chain.registry):
                self.chain.call(self.chain.currency, who, "approve", spender.address, 2**256 - 1)
        self.base = self.chain.evm.snapshot()

    # ------------------------------------------------------------------------------------------------------- the step
    def mint(self, who: str, amount: int) -> None:
        """New currency on both sides."""
        self.chain.call(self.chain.currency, who, "mint", who, amount)
        self.model.wallets[who] += amount

    def warp(self, seconds: int) -> None:
        """Time passes on both sides."""
        self.model.now += seconds
        self.chain.warp(self.model.now)

    def step(self, act: Callable[[], object], contract: Contract, caller: str, name: str, *arguments: object) -> str:
        """One call on both sides; both must end alike. Returns the error's name, or nothing."""
        self.steps += 1
        self.model.events.clear()
        before = copy.deepcopy(self.model.__dict__) if name in MANY_ROWS else None
        outcome = self.chain.call(contract, caller, name, *arguments)
        try:
            returned = act()
        except Reverted as reverted:
            if before is not None:
                self.model.__dict__.update(before)
            assert outcome.error == reverted.error, (outcome, reverted)
            if reverted.error not in UNKNOWABLE:
                assert outcome.arguments == tuple(map(self._lower, reverted.arguments)), (outcome, reverted)
            return reverted.error
        assert outcome.error is None, outcome
        assert list(outcome.events) == [tuple(map(self._lower, event)) for event in self.model.events]
        if name == "claim":
            assert [STATUSES[status] for status in outcome.returned[0]] == returned
        return ""

    def _lower(self, value: object) -> object:
        """As the ABI decoder writes it."""
        named = {"escrow": self.chain.escrow.address, "duels": DUELS}
        if isinstance(value, str):
            value = named.get(value, value)
            return value.lower() if value.startswith("0x") and len(value) == 42 else value
        return value

    # ----------------------------------------------------------------------------------------------------- signatures
    def row(self, row: Row) -> tuple:
        """A model row as the claim's calldata."""
        return (
            row.payer, row.payee, row.generation, row.seq, row.cumulative, row.root, row.count, row.ceiling,
            row.context, self.signature(row.voucher), self.signature(row.claim),
        )  # fmt: skip

    def signature(self, signed: Signed) -> tuple[bytes, bytes]:
        """The real signature behind a symbolic one."""
        kind, *fields = signed.message
        raw = [bytes.fromhex(each[2:]) if isinstance(each, str) else each for each in fields]
        return self.chain.sign(self.keys[signed.by], getattr(messages, kind)(*raw).struct_hash())

    @staticmethod
    def tampered(row: Row, name: str) -> Row:
        """The row with one field changed after signing."""
        value = getattr(row, name)
        if isinstance(value, bytes):
            return replace(row, **{name: keccak(value)})
        return replace(row, **{name: value + 1})

    # ----------------------------------------------------------------------------------------------------- comparison
    def compare(self) -> None:
        """Every number of both contracts and every wallet."""
        model = self.model
        for who in self.everybody:
            self._same(word(model.free[who]), self.chain.escrow, "free", who)
            self._same(word(model.wallets[who]), self.chain.currency, "balanceOf", who)
        for payer in self.payers:
            for payee in self.payees:
                self._compare_pair(payer, payee)
        for signer in self.signers:
            state = model.signers[signer]
            words = (_address(state.payer), word(state.thaw_end), word(state.revoked), word(state.cap))
            self._same(b"".join(words), self.chain.escrow, "signerState", signer)
        for payee in self.payees:
            self._compare_payee(payee)
            self._compare_provider(payee)
        self._same(word(model.escrow_burnt), self.chain.escrow, "burnt")
        self._same(word(model.registry_burnt), self.chain.registry, "burnt")
        self._compare_holdings()

    def _same(self, expected: bytes, contract: Contract, name: str, *arguments: object) -> None:
        found = self.chain.view(contract, name, *arguments)
        assert found == expected, (name, arguments, found.hex(), expected.hex())

    def _compare_pair(self, payer: str, payee: str) -> None:
        pair = self.model.pairs[payer, payee]
        words = (pair.allotted, pair.claimed, pair.thawing, pair.thaw_end)
        self._same(b"".join(map(word, words)), self.chain.escrow, "pairs", payer, payee)
        self._same(word(pair.allotted - pair.thawing), self.chain.escrow, "cover", payer, payee)
        total = 0
        for lane_of in (payer, *self.signers):
            lane = self.model.lanes[payer, payee, lane_of]
            self._same(
                word(lane.claimed) + word(lane.generation), self.chain.escrow, "laneState", payer, payee, lane_of
            )
            total += lane.claimed
            if lane.generation:
                number = max(lane.generation - 1, 1)
                words = word(lane.top(number)) + word(lane.returned[number])
                self._same(words, self.chain.escrow, "laneGeneration", payer, payee, lane_of, number)
        assert total == pair.claimed <= pair.allotted

    def _compare_payee(self, whom: str) -> None:
        model, payee = self.model, self.model.payees[whom]
        pending, due = model.pending_payout(whom)
        words = (
            _address(payee.operator), word(payee.generation), word(payee.operator_bump_at),
            _address(model.payout(whom)), _address(pending), word(due),
        )  # fmt: skip
        self._same(b"".join(words), self.chain.escrow, "payees", whom)
        bucket = model.bucket()
        words = (model.released(whom), payee.earned[bucket - 1], payee.earned[bucket], bucket)
        self._same(b"".join(map(word, words)), self.chain.escrow, "earningsOf", whom)
        if payee.generation:
            number = max(payee.generation - 1, 1)
            state = payee.generations[number]
            words = (_address(state.operator), word(state.closed_at), word(state.floor_burnt))
            self._same(b"".join(words), self.chain.escrow, "generationState", whom, number)

    def _compare_provider(self, whom: str) -> None:
        raw = self.chain.view(self.chain.registry, "provider", whom)
        types = self.chain.registry.functions["provider"][2]
        found = decode(types, raw)[0]
        state = self.model.providers[whom]
        expected = (
            whom.lower(), state.listed, state.unbond_end, state.stake, state.unbonding, state.offer, state.endpoint,
        )  # fmt: skip
        assert found == expected, (found, expected)

    def _compare_holdings(self) -> None:
        """INV1, on the model's own numbers: what the contracts hold is what they owe."""
        model = self.model
        owed = sum(model.free.values()) + model.escrow_burnt
        owed += sum(pair.allotted - pair.claimed for pair in model.pairs.values())
        owed += sum(sum(payee.earned.values()) - payee.collected for payee in model.payees.values())
        self._same(word(owed), self.chain.currency, "balanceOf", self.chain.escrow.address)
        staked = sum(each.stake + each.unbonding for each in model.providers.values()) + model.registry_burnt
        self._same(word(staked), self.chain.currency, "balanceOf", self.chain.registry.address)


def _address(text: str) -> bytes:
    return address_word(bytes.fromhex(text[2:]))


__all__ = ["MIN_STAKE", "NOBODY", "TIMES", "World", "type_of"]
