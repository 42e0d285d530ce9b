"""A court in one process: the real contract's bytecode, nine members, and the node's own services for each of them.

Only time, the network between nodes and the executors' engines are fakes. A transaction wanted is sent by `mine`.
"""

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import orjson
from eth_utils import to_checksum_address

from node.adapters.chain.abi import Interface, load_artifact
from node.adapters.chain.duelling import EvmDuels
from node.adapters.keys import LocalSigner, Secret, recover
from node.adapters.keys.sealing import SealedBox, seal
from node.core.answers import SignedAnswer
from node.core.duel_chain import MOST_ATTEMPTS, Court, draw_opponent
from node.core.duel_facts import CourtFacts, DuelFacts, fold_court, fold_duel
from node.core.duels import Vote
from node.core.errors import CallReverted, PeerFailed, PeerRefused, WwwserveError
from node.core.facts import Block, ChainEvent, Cursor
from node.core.folds import PayeeView
from node.core.hashing import keccak
from node.core.membership.members import Liveness, Member, Registered
from node.core.messages import Answer
from node.core.transactions import Call, Wish
from node.core.types import ZERO32, Address, Amount, Bytes32, Seconds
from node.ports.duels import KeptCase, KeptVote
from node.ports.network import Limits, PeerReply
from node.ports.routing import Bargain, Purchase
from node.services.bids import Identity
from node.services.duel import Duelling
from node.services.duel_course import Course
from node.services.duel_evidence import EvidenceDesk, EvidenceReader
from node.services.duel_parts import DuelParts
from node.services.duel_ratings import Ratings
from node.services.duel_seeds import Seeds
from node.services.judge import Judging
from node.services.judging import CHAT, LikelihoodJudge
from tests.differential import duels_world
from tests.differential.duels_model import EPOCH
from tests.frauds.duel_market import Court as HistoryOf
from tests.frauds.duel_market import RecordingChain, _plain
from tests.judging.able import AbleExchange

MODEL = "lab-model"
MODEL_ID = keccak(MODEL.encode())
GOOD, BAD = ("clear", "true", "short", "right", "plain"), ("mist", "false", "vague", "wrong", "noise")
GAS = 30_000_000
START = 1_000_000.0


class LabClock:
    """Unix seconds are the chain's; the monotonic clock leaps, so that no wish waits for its pace."""

    def __init__(self, lab: "CourtLab") -> None:
        self.lab = lab
        self.leaps = 0.0

    def now(self) -> float:
        return float(self.lab.time)

    def monotonic(self) -> float:
        return START + self.lab.time + self.leaps


@dataclass
class MemoryStore:
    """ports.duels.DuelStore."""

    cases: dict[Bytes32, KeptCase] = field(default_factory=dict)
    held: dict[Bytes32, tuple[bytes, Seconds]] = field(default_factory=dict)
    votes: dict[Bytes32, dict[int, KeptVote]] = field(default_factory=dict)
    seeds: dict[int, Bytes32] = field(default_factory=dict)
    canaries: dict[Bytes32, Vote] = field(default_factory=dict)

    async def keep_case(self, case: KeptCase) -> None:
        self.cases.setdefault(case.duel, case)

    async def load_case(self, duel: Bytes32) -> KeptCase | None:
        return self.cases.get(duel)

    async def load_cases(self) -> list[KeptCase]:
        return list(self.cases.values())

    async def drop_case(self, duel: Bytes32) -> None:
        self.cases.pop(duel, None)

    async def keep_evidence(self, duel: Bytes32, evidence: bytes, at: Seconds) -> None:
        self.held.setdefault(duel, (evidence, at))

    async def load_evidence(self, duel: Bytes32) -> bytes | None:
        return self.cases[duel].evidence if duel in self.cases else self.held.get(duel, (None,))[0]

    async def load_held(self) -> dict[Bytes32, Seconds]:
        return {duel: at for duel, (_, at) in self.held.items()}

    async def drop_evidence(self, duel: Bytes32) -> None:
        self.held.pop(duel, None)

    async def keep_votes(self, duel: Bytes32, votes: list[KeptVote]) -> None:
        for vote in votes:
            self.votes.setdefault(duel, {}).setdefault(vote.seat, vote)

    async def load_votes(self, duel: Bytes32) -> dict[int, KeptVote]:
        return dict(self.votes.get(duel, {}))

    async def keep_canary(self, duel: Bytes32, verdict: Vote) -> None:
        self.canaries.setdefault(duel, verdict)

    async def load_canary(self, duel: Bytes32) -> Vote | None:
        return self.canaries.get(duel)

    async def keep_seed(self, epoch: int, seed: Bytes32) -> Bytes32:
        return self.seeds.setdefault(epoch, seed)

    async def load_seed(self, epoch: int) -> Bytes32 | None:
        return self.seeds.get(epoch)


class ReferenceEngine:
    """ports.Engine: finds good words likely and bad ones unlikely, and says so as vLLM's `prompt_logprobs` does."""

    def __init__(self) -> None:
        self.is_down = False

    def open(self, path: str, body: bytes) -> AbleExchange:
        if self.is_down:
            return AbleExchange(503, b"{}")
        fields = orjson.loads(body)
        said = fields["messages"]
        own = [{"message": {"role": "assistant", "content": " ".join(GOOD * 4)}}] * fields.get("n", 0)
        rows: list[Any] = [None, {"1": {"logprob": -9.0}}]
        if said[-1]["role"] == "assistant":
            rows += [{"1": {"logprob": -1.0 if word in GOOD else -6.0}} for word in said[-1]["content"].split()]
        return AbleExchange(200, orjson.dumps({"choices": own, "prompt_logprobs": rows}))

    async def is_healthy(self) -> bool:
        return True


@dataclass
class LabPurchase:
    """ports.routing.PeerExchange over an executor that answers at once, or refuses."""

    lab: "CourtLab"
    purchase: Purchase
    bargain: Bargain | None = None

    async def start(self) -> int:
        if self.purchase.member.payee in self.lab.refusing:
            raise PeerRefused("not now")
        self.bargain = self.lab.answered(self.purchase)
        return 200

    async def read(self) -> bytes:
        return b""

    def cancel(self) -> None:
        pass

    def hang_up(self) -> None:
        pass

    async def owed(self) -> None:
        return None


class LabNode:
    """One member's node; `restart` forgets everything that is not in its store."""

    def __init__(self, lab: "CourtLab", name: str, rate: int) -> None:
        self.lab, self.rate = lab, rate
        self.me = Address(bytes.fromhex(name[2:]))
        self.signer = LocalSigner(Secret(lab.world.keys[name].secret))
        self.store: Any = MemoryStore()
        self.reference = ReferenceEngine()
        self.is_up = True
        self.restart()

    def restart(self) -> None:
        lab = self.lab
        self.parts = DuelParts(
            self.me,
            lab.court,
            lab,
            lab,
            self.store,
            lab.duels,
            lab,
            self.me,
            lab.clock,  # type: ignore[arg-type]
        )
        identity = Identity(self.me, self.signer, recover, lab.world.chain.domain, lab.clock)
        course = Course(self.parts)
        seeds = Seeds(self.parts, self.signer, lab.world.chain.domain, self.rate)
        self.duelling = Duelling(self.parts, seeds, lab, lab, lab, course, after_seconds=0.0)  # type: ignore[arg-type]
        reader = EvidenceReader(self.parts, identity, lab, lab, SealedBox)  # type: ignore[arg-type]
        self.judging = Judging(self.parts, LikelihoodJudge(self.reference, "reference"), reader, course, lab.dice)
        self.desk = EvidenceDesk(self.parts, identity, seal)
        self.ratings = Ratings(lab)  # type: ignore[arg-type]

    async def run(self) -> None:
        if not self.is_up:
            return
        if self.rate:
            await self.duelling.run()
        await self.judging.run()
        await self.desk.tidy()


class CourtLab:
    """Chain, books, outbox, peers, membership and market of everybody: one thing, since all of it is public here."""

    def __init__(self, *, rate: int = 1000) -> None:
        real, duels_world.DuelsChain = duels_world.DuelsChain, RecordingChain
        try:
            self.world = duels_world.DuelsWorld()
        finally:
            duels_world.DuelsChain = real
        chain = self.world.chain
        self.court = Court(31337, Address(bytes.fromhex(chain.duels.address[2:])))
        self.block, self.time = self.world.model.block, self.world.model.now
        self.facts: dict[Bytes32, DuelFacts] = {}
        self.ended: list[tuple[tuple[int, int], DuelFacts]] = []
        self.wishes: list[Wish] = []
        self.refused: list[tuple[Wish, str]] = []
        self.refusing: set[Address] = set()
        self.bought: list[Purchase] = []
        self.qualities: dict[Address, float] = {}
        self.random = random.Random(7)
        self.clock = LabClock(self)
        evm = SimpleNamespace(
            deployment=SimpleNamespace(duels=self.court.address),
            duels=Interface.of(load_artifact("Duels")),
            call=self.view,
            agreed_call=self.view,
        )
        self.duels = EvmDuels(evm)  # type: ignore[arg-type]
        names = self.world.members
        self.nodes = [LabNode(self, name, rate if number == 0 else 0) for number, name in enumerate(names)]
        self.dispatcher = self.nodes[0]
        self.told: Any = None

    @property
    def court_facts(self) -> CourtFacts:
        return self.world.court

    def dice(self, size: int) -> bytes:
        return self.random.randbytes(size)

    # ---- time and transactions ----

    def move(self, blocks: int, seconds: int) -> None:
        self.block, self.time = self.block + blocks, self.time + seconds
        self.world.chain.move_to(self.block, self.time)

    def mine(self) -> int:
        """Send what is wanted, a block each; how many went through."""
        done, wanted, self.wishes = 0, self.wishes, []
        for wish in wanted:
            self.move(1, 1)
            try:
                events = self._send(wish.sender, wish.call)
            except RuntimeError as exc:
                self.refused.append((wish, str(self.world.chain._failure(str(exc)).error)))
                continue
            done += 1
            self._book(events)
        return done

    def _send(self, sender: Address, call: Call) -> list[tuple[Any, ...]]:
        chain = self.world.chain
        who, to = (to_checksum_address("0x" + one.hex()) for one in (sender, call.to))
        chain.evm.message_call(who, to, call.data, gas=GAS)
        events = [event for log in chain.evm.result.logs if (event := chain._event(log)) is not None]
        tx = {"from": who.lower(), "to": to.lower(), "input": "0x" + call.data.hex()}
        for raw in events:
            role = next(role for role, known in chain.emitters.items() if raw[0] in known)
            args = {key: _plain(value) for key, value in chain.named(raw).items()}
            chain.events.append({"contract": role, "name": raw[0], "block": self.block, "args": args, "tx": tx})
        return events

    def history(self) -> dict[str, Any]:
        """All that happened, as an auditor would read it from a chain."""
        self.world.model.block, self.world.model.now = self.block, self.time
        return HistoryOf.history(SimpleNamespace(world=self.world))  # type: ignore[arg-type]

    def _book(self, events: list[tuple[Any, ...]]) -> None:
        for index, raw in enumerate(events):
            named = self.world.chain.named(raw)
            args = {
                name: bytes.fromhex(v[2:]) if isinstance(v, str) and v.startswith("0x") else v
                for name, v in named.items()
            }
            event = ChainEvent(self.block, ZERO32, index, ZERO32, "duels", raw[0], args)  # type: ignore[arg-type]
            self.world.court = fold_court(self.world.court, event)
            if "duelId" not in args:
                continue
            key = event.bytes32("duelId")
            self.facts[key] = fold_duel(self.facts.get(key, DuelFacts()), event)
            if self.facts[key].is_over:
                self.ended.append(((self.block, index), self.facts[key]))

    async def view(self, call: Call) -> bytes:
        to = to_checksum_address("0x" + call.to.hex())
        try:
            return bytes(self.world.chain.evm.message_call("0x" + "00" * 20, to, call.data, gas=GAS, is_static=True))
        except RuntimeError as exc:
            raise CallReverted(str(exc)) from exc

    async def add(self, wish: Wish) -> int | None:
        if any(one.key == wish.key and one.sender == wish.sender for one in self.wishes):
            return None
        self.wishes.append(wish)
        return len(self.wishes)

    async def load_open(self, sender: Address) -> list[Any]:
        return [SimpleNamespace(wish=one) for one in self.wishes if one.sender == sender]

    async def turn(self, *, blocks: int = 1, seconds: int = 5) -> None:
        """Everybody looks once; what they want is mined; time passes."""
        self.clock.leaps += 60
        for node in self.nodes:
            await node.run()
        self.mine()
        self.move(blocks, seconds)

    async def until_over(self, *, seconds: int = 60, most: int = 80) -> None:
        for _ in range(most):
            await self.turn(seconds=seconds)
            is_over = self.facts and all(one.is_over for one in self.facts.values())
            if is_over and not self.wishes and self.dispatcher.store.cases.keys() <= self.facts.keys():
                return
        raise AssertionError({key.hex()[:6]: one.state.name for key, one in self.facts.items()})

    async def next_epoch(self) -> None:
        """Commit seeds in this one, then go to the beginning of the next."""
        length = (await self.duels.read_rules()).epoch
        self.move(1, length - self.time % length)
        await self.turn(seconds=1)
        self.move(1, length - self.time % length)

    # ---- books ----

    async def load_cursor(self) -> Cursor:
        return Cursor(Block(self.block, ZERO32, ZERO32, Seconds(self.time)), self.block)

    async def load_payee(self, payee: Address) -> PayeeView:
        return PayeeView(1, payee, 1, {1: payee})

    async def load_duel(self, duel: Bytes32) -> DuelFacts:
        return self.facts.get(duel, DuelFacts())

    async def load_court(self) -> CourtFacts:
        return self.world.court

    async def load_running(self) -> dict[Bytes32, DuelFacts]:
        return {key: one for key, one in self.facts.items() if not one.is_over}

    async def load_ended(self, after: tuple[int, int]) -> list[tuple[tuple[int, int], DuelFacts]]:
        return [one for one in self.ended if one[0] > after]

    # ---- peers and market ----

    def member(self, payee: Address) -> Member | None:
        bid: Any = SimpleNamespace(
            bid=SimpleNamespace(row_of=lambda model: payee in self.qualities or None if model == MODEL_ID else None)
        )
        known = Registered(payee, payee, f"lab://{payee.hex()}")
        return Member(known, Liveness.ALIVE, is_alive=self._node(payee).is_up, incarnation=1, bid=bid)

    def members(self) -> dict[Address, Member]:
        found = {node.me: self.member(node.me) for node in self.nodes}
        return {payee: one for payee, one in found.items() if one is not None}

    def _node(self, payee: Address) -> LabNode:
        return next(node for node in self.nodes if node.me == payee)

    async def post_json(self, member: Member, path: str, body: object, limits: Limits) -> PeerReply:
        node = self._node(member.payee)
        if not node.is_up:
            raise PeerFailed("no answer")
        try:
            return PeerReply(200, await node.desk.answer(json.loads(json.dumps(body))))
        except WwwserveError as exc:
            return PeerReply(400, {"error": {"code": exc.code()}})

    @asynccontextmanager
    async def asked(self, purchase: Purchase, model: Bytes32) -> AsyncIterator[bool]:
        yield model == MODEL_ID and purchase.member.payee in self.qualities

    def open(self, purchase: Purchase) -> LabPurchase:
        self.bought.append(purchase)
        return LabPurchase(self, purchase)

    def answered(self, purchase: Purchase) -> Bargain:
        """What an executor of its quality says, signed."""
        executor = purchase.member.payee
        twin = purchase.twin
        salt = twin.salt if twin else Bytes32(self.dice(32))
        request_id = twin.request_id if twin else Bytes32(self.dice(32))
        share = self.qualities[executor]
        words = [self.random.choice(GOOD if self.random.random() < share else BAD) for _ in range(12)]
        fields = {"choices": [{"index": 0, "message": {"content": " ".join(words)}, "finish_reason": "stop"}]}
        text = json.dumps(" ".join(words))
        choices = f'[{{"content":{text},"finish_reason":"stop","index":0}}]'.encode()
        payer = self.dispatcher.me
        nonce = keccak(keccak(executor + request_id))
        hashes = (keccak(salt + purchase.body), keccak(salt + choices))
        answer = Answer(payer, payer, 1, request_id, *hashes, MODEL_ID, executor, nonce)
        signature = self._node(executor).signer.sign(self.world.chain.domain.digest(answer.struct_hash()))
        receipt: Any = SimpleNamespace(request_id=request_id, charge=Amount(40), completion_tokens=12)
        return Bargain(
            purchase, purchase.body, json.dumps(fields).encode(), receipt, SignedAnswer(answer, signature), salt
        )

    def _finds_second(self, bargain: Bargain) -> bool:
        """Whether the draws reach somebody who serves, if there is anybody."""
        epoch, answer = self.time // EPOCH, bargain.answer.answer
        seed, snapshot = self.dispatcher.store.seeds.get(epoch), self.court_facts.snapshot(epoch - 1)
        parties = {self.dispatcher.me, answer.executor}
        serving = self.qualities.keys() - self.refusing - parties
        if seed is None or not serving:
            return True
        about = (answer.request_id, answer.nonce_commit)
        return any(draw_opponent(snapshot, seed, about, n).provider in serving for n in range(MOST_ATTEMPTS))

    async def offload(self, executor: LabNode, *, flags: int = 0, padding: int = 0) -> Bargain:
        """The dispatcher buys an answer for a user, who has it at once; then the duel may begin."""
        member = self.member(executor.me)
        assert member is not None
        question = f"q {self.random.random()}" + " " * padding
        body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": question}]})
        purchase = Purchase(member, CHAT, body, ZERO32, 1, flags, Amount(1), Amount(1), Amount(9), 1.0, 1.0)
        bargain = self.answered(purchase)
        while not self._finds_second(bargain):  # few serve here: other ids would often find nobody in eight draws
            bargain = self.answered(purchase)
        self.dispatcher.duelling.note(bargain)
        await self.dispatcher.duelling.settle()
        return bargain


def ready(*qualities: float, rate: int = 1000) -> CourtLab:
    """A lab whose members 1, 2, ... serve the model, each with that share of good words."""
    lab = CourtLab(rate=rate)
    for node, quality in zip(lab.nodes[1:], qualities, strict=False):
        lab.qualities[node.me] = quality
    return lab
