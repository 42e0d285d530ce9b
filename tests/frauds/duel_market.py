"""Duels on the real bytecode in process, written down as a history: events, transactions, the views an audit asks."""

import json
from functools import cache, cached_property

import eth_abi
import httpx

from node.audit.rpc import Rpc
from node.audit.verify import Scope, verify
from node.audit.web import Web
from node.core.duel_chain import MOST_ATTEMPTS, Ballot, draw_opponent, duel_id, seed_commitment, vote_commitment
from node.core.duels import Vote
from node.core.hashing import keccak, word
from tests.differential import duels_model as rules
from tests.differential import duels_world
from tests.differential.chain import Contract, Outcome
from tests.differential.duels_model import Duel, Trial
from tests.frauds.auditing import deployment_of, no_pause
from tests.frauds.serving import Served

WHY, SEED = b"\x05" * 32, b"\x06" * 32
ROLES = ("escrow", "registry", "duels", "currency")
FEE, DEPLOY_BLOCK = 40, 1000


class RecordingChain(duels_world.DuelsChain):
    """Keeps each call that went through with its events."""

    def __init__(self) -> None:
        self.events: list[dict] = []
        self.times: dict[int, int] = {}
        self.block = DEPLOY_BLOCK
        super().__init__()

    def move_to(self, block: int, now: int) -> None:
        super().move_to(block, now)
        self.block, self.times[block] = block, now

    def call(self, contract: Contract, caller: str, name: str, *arguments: object) -> Outcome:
        outcome = super().call(contract, caller, name, *arguments)
        selector, inputs, _ = contract.functions[name]
        data = "0x" + (selector + eth_abi.encode(inputs, arguments)).hex()
        tx = {"from": caller.lower(), "to": contract.address.lower(), "input": data}
        for raw in outcome.events:
            role = next(role for role, known in self.emitters.items() if raw[0] in known)
            args = {key: _plain(value) for key, value in self.named(raw).items()}
            self.events.append({"contract": role, "name": raw[0], "block": self.block, "args": args, "tx": tx})
        return outcome

    @cached_property
    def emitters(self) -> dict[str, set[str]]:
        """The events of each contract by name: no name belongs to two."""
        empty = Served({"events": [], "chain_id": 1, "escrow": "0x" + "00" * 20, "views": {}})
        return {role: {name for own, name in empty.events if own == role} for role in ("escrow", "registry", "duels")}


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return value.lower() if isinstance(value, str) and value.startswith("0x") else value


class AskingServed(Served):
    """Asks the contract in process what a view says, and writes it down."""

    world: duels_world.DuelsWorld

    def _call(self, call: dict) -> str:
        contract = next(name for name in ROLES if self.history[name] == call["to"])
        signature, item = self.functions[f"{contract} {call['data'][2:10]}"]
        asked = eth_abi.decode([m["type"] for m in item["inputs"]], bytes.fromhex(call["data"][10:]))
        chain = self.world.chain
        raw = chain.view(getattr(chain, contract), signature.partition("(")[0], *asked)
        outputs = item["outputs"]
        if len(outputs) == 1 and "components" in outputs[0]:
            kinds = f"({','.join(m['type'] for m in outputs[0]['components'])})"
            row = eth_abi.decode([kinds], raw)[0]
        else:
            row = eth_abi.decode([m["type"] for m in outputs], raw)
        key = " ".join([contract, signature, *(str(value) for value in asked)])
        self.history["views"][key] = [_plain(value) for value in row]
        return super()._call(call)


class Court:
    """A world whose duels are played by name."""

    def __init__(self) -> None:
        real, duels_world.DuelsChain = duels_world.DuelsChain, RecordingChain
        try:
            self.world = duels_world.DuelsWorld()
        finally:
            duels_world.DuelsChain = real
        self.dispatcher, self.first, *_, self.appellant = self.world.members
        self._commit_seed()

    def _commit_seed(self) -> None:
        world = self.world
        raw = bytes.fromhex(self.dispatcher[2:])
        commitment = seed_commitment(world.model.court, raw, world.model.epoch + 1, SEED)
        assert not world.duels(self.dispatcher, "commit_seed", "commitSeed", self.dispatcher, commitment, 1000)
        self.world.move(10, rules.EPOCH)

    def open(self, number: int = 7, second: str = "") -> bytes:
        """A duel of the dispatcher's; the second executor is the drawn one unless named."""
        world, request = self.world, word(number)
        nonce = keccak(request + bytes.fromhex(self.first[2:]))
        attempt = 0
        if not second:
            attempt, second = self._opponent(request, nonce)
        duel = Duel(self.dispatcher, self.first, second, request, nonce, attempt, 0, Trial(0, 0))
        assert not world.open(self.dispatcher, duel, FEE, (self.first, second))
        return duel_id(bytes.fromhex(self.dispatcher[2:]), request)

    def drawn_for(self, request: bytes) -> str:
        """Whom `open` would take."""
        return self._opponent(request, keccak(request + bytes.fromhex(self.first[2:])))[1]

    def _opponent(self, request: bytes, nonce: bytes) -> tuple[int, str]:
        model = self.world.model
        snapshot = model.snapshot(model.epoch - 1)
        names = {bytes.fromhex(name[2:]): name for name in self.world.members}
        for attempt in range(MOST_ATTEMPTS):
            name = names[draw_opponent(snapshot, SEED, (request, nonce), attempt).provider]
            if name not in (self.dispatcher, self.first):
                return attempt, name
        raise AssertionError("nobody was drawn")

    def judge(self, key: bytes, votes: tuple[int, ...], base: int = 0) -> None:
        """Draw, commit, reveal; a vote of 0 is silence."""
        world = self.world
        world.move(rules.DELAY + 1, 12)
        assert not world.duels(world.stranger, "draw", "draw", key)
        duel = world.model.duels[key]
        judges = (duel.retrial or duel.trial).judges
        ballots = [
            Ballot(bytes.fromhex(judge[2:]), Vote(vote), word(seat), WHY) if vote else None
            for seat, (judge, vote) in enumerate(zip(judges, votes, strict=True))
        ]
        for seat, ballot in enumerate(ballots):
            if ballot is not None:
                sealed = vote_commitment(world.model.court, key, ballot)
                assert not world.duels(judges[seat], "commit", "commit", key, base + seat, sealed)
        world.move(1, rules.COMMIT)
        for seat, ballot in enumerate(ballots):
            if ballot is not None:
                arguments = (key, base + seat, ballot.vote, ballot.salt, WHY)
                assert not world.duels(world.stranger, "reveal", "reveal", *arguments)
        world.move(1, rules.REVEAL)

    def appeal(self, key: bytes) -> None:
        assert not self.world.duels(self.appellant, "appeal", "appeal", key, self.appellant)

    def finalize(self, key: bytes, wait: int = rules.APPEAL) -> None:
        self.world.move(1, wait)
        assert not self.world.duels(self.world.stranger, "finalize", "finalize", key)

    def reveal_seed(self) -> None:
        """In the first half of the next epoch."""
        world = self.world
        epoch = world.model.epoch
        world.move(1, rules.EPOCH - world.model.now % rules.EPOCH)
        assert not world.duels(world.stranger, "reveal_seed", "revealSeed", self.dispatcher, epoch, SEED)

    def history(self) -> dict:
        """All of it, with the views an audit asks for."""
        self.world.move(1, 1)
        chain = self.world.chain
        history = {
            **{role: getattr(chain, role).address.lower() for role in ("escrow", "registry", "duels", "currency")},
            "schema": 1,
            "chain_id": 31337,
            "deploy_block": DEPLOY_BLOCK,
            "pinned_block": chain.block,
            "names": {},
            "lanes": {},
            "settlements": {},
            "offers": {},
            "options": {},
            "held": [],
            "events": chain.events,
            "views": {},
            "block_times": {str(number): at for number, at in sorted(chain.times.items())},
        }
        served = AskingServed(history)
        served.world = self.world
        client = httpx.Client(transport=served.transport())
        rpc = Rpc("http://127.0.0.1/rpc", client, no_pause)
        found = verify(deployment_of(history), [rpc], Web(client, True, no_pause), Scope())
        assert found.court is not None
        return history


@cache
def _played() -> str:
    """A lost duel with a dissenter, one whose judges were never drawn; the seed revealed."""
    court = Court()
    lost, tied = court.open(7), court.open(8)
    court.judge(lost, (1, 1, 1, 1, 2))
    court.finalize(lost)
    court.reveal_seed()
    court.world.move(300, 1)
    court.finalize(tied, 1)
    return json.dumps(court.history())


def played() -> dict:
    """A fresh copy of the history that frauds bend."""
    return json.loads(_played())


def bent(name: str, **args: object) -> dict:
    """The history with the last event of that name changed."""
    history = played()
    event = [event for event in history["events"] if event["name"] == name][-1]
    event["args"] |= args
    return history
