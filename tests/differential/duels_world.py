"""The duels model and the real bytecode at once: the people, one call on both sides, and the comparison after it."""

import copy
from collections.abc import Callable

from coincurve import PrivateKey
from eth_abi import decode, encode
from eth_utils import to_checksum_address
from pyrevm import BlockEnv

from node.core.duel_chain import Court, duel_id
from node.core.duel_facts import CourtFacts, DuelFacts, fold_court, fold_duel
from node.core.facts import ChainEvent
from node.core.hashing import keccak, word
from node.core.messages import Answer
from node.core.types import ZERO32
from tests.differential import duels_model as rules
from tests.differential.chain import Chain, Contract, Outcome
from tests.differential.duels_model import DuelsModel, Trial
from tests.differential.model import Reverted, Times

NOW = 1_800_000_000
WINDOW = 5000
TIMES = Times(thaw=1000, hold=700, payout_delay=1500, unbonding=1000 + 2 * WINDOW + 48 * 3600)
MEMBERS = 9
REQUEST_HASH, MODEL, RESPONSE, EVIDENCE = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32, b"\x04" * 32
# The model cannot know which address a wrong signature recovers to, nor how an occurrence is hashed.
UNKNOWABLE = {"Duels_NotSignedByOperator", "Duels_AlreadyProven"}
DUELS_NONCE = 3


class DuelsChain(Chain):
    """A set with a real `Duels`, whose blocks the caller counts."""

    def __init__(self) -> None:
        super().__init__(TIMES, WINDOW, rules.MIN_STAKE, NOW, self.predict(DUELS_NONCE))
        times = (rules.EPOCH, rules.COMMIT, rules.REVEAL, rules.APPEAL, rules.DELAY)
        amounts = (
            rules.BOND, rules.APPEAL_BOND, rules.FEE, rules.LOSER, rules.MINORITY, rules.SILENT, rules.FAULT,
        )  # fmt: skip
        types = ["address", "(uint64,uint64,uint64,uint64,uint64)", f"({','.join(['uint128'] * 7)})"]
        self.duels = self.deploy("Duels", encode(types, (self.registry.address, times, amounts)))
        assert self.duels.address == self.predict(DUELS_NONCE)

    def move_to(self, block: int, now: int) -> None:
        """Number and time of the blocks from here on."""
        self.evm.set_block_env(BlockEnv(number=block, timestamp=now))


class DuelsWorld:
    """Nine members that play every part, and a stranger. Everybody is the operator of itself."""

    def __init__(self) -> None:
        self.chain = DuelsChain()
        court = self.chain.duels.address
        self.model = DuelsModel(Court(31337, bytes.fromhex(court[2:])), NOW)
        self.keys: dict[str, PrivateKey] = {}
        self.members = [self._person(f"member {number}") for number in range(MEMBERS)]
        self.stranger = self._person("stranger")
        self.steps = 0
        self.court = CourtFacts()
        self.facts: dict[bytes, DuelFacts] = {}
        self.move(0, 0)
        for number, who in enumerate(self.members):
            self.chain.call(self.chain.escrow, who, "setOperator", who)
            self.register(who, rules.MIN_STAKE * (number + 1))
            self.duels(who, "enroll", "enroll", self.stranger if number == 0 else "0x" + "00" * 20)
            self.fund(who, 500)

    def _person(self, seed: str) -> str:
        key = PrivateKey(keccak(seed.encode()))
        address = to_checksum_address(keccak(key.public_key.format(compressed=False)[1:])[12:])
        self.keys[address] = key
        for spender in (self.chain.duels, self.chain.registry):
            self.chain.call(self.chain.currency, address, "approve", spender.address, 2**256 - 1)
        return address

    def remember(self) -> Callable[[], None]:
        """Both sides as they are now; calling the result brings them back, once."""
        kept, model = self.chain.evm.snapshot(), copy.deepcopy(self.model.__dict__)
        court, facts = self.court, dict(self.facts)

        def restore() -> None:
            self.chain.evm.revert(kept)
            self.model.__dict__.update(copy.deepcopy(model))
            self.court, self.facts = court, facts
            self.move(0, 0)

        return restore

    # ------------------------------------------------------------------------------------------------------- the step
    def move(self, blocks: int, seconds: int) -> None:
        """Time passes on both sides."""
        self.model.block += blocks
        self.model.now += seconds
        self.chain.move_to(self.model.block, self.model.now)

    def register(self, who: str, stake: int) -> None:
        """Lists a provider on both sides, or refuses on both."""
        self.chain.call(self.chain.currency, who, "mint", who, stake)
        outcome = self.chain.call(self.chain.registry, who, "register", "https://x", b"\x00" * 32, stake)
        assert (outcome.error is None) == (who not in self.model.listed)
        if outcome.error is None:
            self.model.listed.add(who)
            self.model.stakes[who][0] += stake

    def deregister(self, who: str) -> None:
        """Delists at once; the stake is unbonding."""
        if self.chain.call(self.chain.registry, who, "deregister").error is None:
            self.model.listed.remove(who)
            self.model.stakes[who] = [0, self.model.slashable(who)]

    def fund(self, who: str, amount: int) -> None:
        """Mints and deposits."""
        self.chain.call(self.chain.currency, who, "mint", who, amount)
        self.duels(who, "fund", "fund", who, amount)

    def duels(self, caller: str, method: str, name: str, *arguments: object, sent: tuple | None = None) -> str:
        """One call on both sides; both must end alike. Returns the error's name, or nothing."""
        outcome = self.chain.call(self.chain.duels, caller, name, *(arguments if sent is None else sent))
        return self._compare_call(outcome, lambda: getattr(self.model, method)(caller, *arguments))

    def _compare_call(self, outcome: Outcome, act: Callable[[], object]) -> str:
        self.steps += 1
        try:
            act()
        except Reverted as reverted:
            assert outcome.error == reverted.error, (outcome, reverted)
            if reverted.error not in UNKNOWABLE:
                assert outcome.arguments == tuple(map(_lower, reverted.arguments)), (outcome, reverted)
            return reverted.error
        assert outcome.error is None, outcome
        self._fold(outcome.events)
        return ""

    def _fold(self, events: tuple) -> None:
        """What a node makes of the events."""
        for number, raw in enumerate(events):
            arguments = {name: _plain(value) for name, value in self.chain.named(raw).items()}
            event = ChainEvent(self.model.block, ZERO32, number, ZERO32, "duels", raw[0], arguments)
            self.court = fold_court(self.court, event)
            if "duelId" in arguments:
                key = event.bytes32("duelId")
                self.facts[key] = fold_duel(self.facts.get(key, DuelFacts()), event)

    # --------------------------------------------------------------------------------------------------- signed things
    def side(self, payer: str, request: bytes, executor: str, signer: str, response: bytes = RESPONSE) -> tuple:
        """One side's calldata."""
        nonce = keccak(request + bytes.fromhex(executor[2:]))
        raw = [bytes.fromhex(each[2:]) for each in (payer, executor)]
        answer = Answer(raw[0], raw[0], 1, request, REQUEST_HASH, response, MODEL, raw[1], nonce)
        signature = self.chain.sign(self.keys[signer], answer.struct_hash())
        return (executor, payer, 1, response, nonce, signature)

    def open(self, caller: str, duel: rules.Duel, fee: int, signers: tuple[str, str]) -> str:
        """Opens on both sides."""
        sides = zip((duel.first, duel.second), signers, strict=True)
        made = [self.side(duel.dispatcher, duel.request_id, executor, signer) for executor, signer in sides]
        opening = (duel.dispatcher, duel.request_id, REQUEST_HASH, MODEL, EVIDENCE, fee, duel.attempt, 0, *made)
        key = duel_id(bytes.fromhex(duel.dispatcher[2:]), duel.request_id)
        return self.duels(caller, "open", "open", key, duel, fee, signers, sent=(opening,))

    # ------------------------------------------------------------------------------------------------------ comparison
    def compare(self) -> None:
        """Every number of the court, every stake, every open duel."""
        model, chain = self.model, self.chain
        for who in (*self.members, self.stranger):
            self._same(word(model.balances[who]), chain.duels, "balances", who)
            self._same(word(model.slashable(who)), chain.registry, "slashable", who)
        for who, member in model.members.items():
            words = (word(member.place), word(member.active), _address(member.controller), _address(member.delegate))
            self._same(b"".join(words) + word(model.weight(who)), chain.duels, "member", who)
        self._same(word(model.burnt), chain.duels, "burnt")
        self._same(word(model.registry_burnt), chain.registry, "burnt")
        self._same(word(model.held), chain.currency, "balanceOf", chain.duels.address)
        for epoch in (model.epoch, model.epoch - 1, model.epoch - 2):
            total = sum(each.weight for each in model.snapshot(epoch))
            self._same(word(total), chain.duels, "totalWeight", epoch)
            assert self.court.snapshot(epoch) == model.snapshot(epoch)
        for key in list(model.duels)[-3:]:
            self._compare_duel(key)
            self._compare_facts(key)
        owed = sum(model.balances.values()) + model.burnt
        owed += sum(rules.BOND for duel in model.duels.values() if duel.state < rules.State.FIRST_WON)
        appealed = (rules.State.APPEALED, rules.State.RETRIAL)
        owed += sum(rules.APPEAL_BOND for duel in model.duels.values() if duel.state in appealed)
        assert owed == model.held, "DINV1"

    def _same(self, expected: bytes, contract: Contract, name: str, *arguments: object) -> None:
        found = self.chain.view(contract, name, *arguments)
        assert found == expected, (name, arguments, found.hex(), expected.hex())

    def _compare_facts(self, key: bytes) -> None:
        """What the node's folds make of the events is where the duel stands."""
        duel, facts = self.model.duels[key], self.facts[key]
        assert (facts.state, facts.epoch, facts.prize) == (duel.state, duel.trial.epoch, duel.prize)
        parties = (duel.dispatcher, duel.first, duel.second)
        assert (facts.dispatcher, facts.first, facts.second) == tuple(bytes.fromhex(each[2:]) for each in parties)
        trials = ((0, duel.trial), (rules.JUDGES, duel.retrial or Trial(0, 0)))
        judges = {base + seat: judge for base, trial in trials for seat, judge in enumerate(trial.judges)}
        votes = {base + seat: vote for base, trial in trials for seat, vote in trial.votes.items()}
        assert facts.places == {seat: self.model.members[judge].place for seat, judge in judges.items()}
        assert facts.votes == votes

    def _compare_duel(self, key: bytes) -> None:
        duel = self.model.duels[key]
        raw = self.chain.view(self.chain.duels, "duel", key)
        found = decode(self.chain.duels.functions["duel"][2], raw)[0]
        parties = tuple(each.lower() for each in (duel.dispatcher, duel.first, duel.second))
        assert found[:7] == (duel.state, *parties, duel.trial.epoch, duel.attempt, duel.prize)
        assert found[11:13] == _bench(duel.trial, rules.JUDGES)
        assert found[13] == (duel.appellant.lower() or "0x" + "00" * 20)
        if duel.retrial is not None:
            assert found[17:19] == _bench(duel.retrial, rules.JURY)


def _plain(value: object) -> object:
    """As the node decodes it: addresses are bytes."""
    return bytes.fromhex(value[2:]) if isinstance(value, str) and value.startswith("0x") else value


def _bench(trial: Trial, size: int) -> tuple:
    votes = tuple(int(trial.votes.get(seat, 0)) for seat in range(size)) if trial.judges else ()
    return tuple(judge.lower() for judge in trial.judges), votes


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) and value.startswith("0x") else value


def _address(text: str) -> bytes:
    return bytes(12) + bytes.fromhex(text[2:])
