"""A payer with fake surroundings for the client's tests."""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

from node.adapters.keys import recover
from node.client.payer import Payer, Tools
from node.client.pins import Pin
from node.client.store import open_engine
from node.client.wallet import Limits
from node.core.hashing import keccak
from node.core.types import Amount
from tests.fakes.fake_node import CURRENCY, DOMAIN, MODEL, WordCounter, make_signer

LIMITS = Limits(exposure=Amount(10_000), per_request=Amount(3_000), daily=Amount(1_000_000))
PINS = {MODEL: frozenset({Pin(WordCounter.tokenizer_hash, WordCounter.template_hash)})}


@dataclass
class FakeClock:
    at: float = 1_800_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def make_dice(seed: str = "dice"):
    """Different 32-byte values, the same ones in every run."""
    counter = itertools.count()
    return lambda size: keccak(f"{seed} {next(counter)}".encode())[:size]


def make_payer(limits: Limits = LIMITS, clock=None, dice=None, lanes: int = 1, **members) -> Payer:
    owner = make_signer("payer")
    signers = [owner, *(make_signer(f"lane {i}") for i in range(1, lanes))]
    tools = Tools(clock or FakeClock(), dice or make_dice(), recover, lambda _tokenizer, _template: WordCounter())
    payer = Payer(owner.address, tuple(signers), DOMAIN, CURRENCY, limits, PINS, tools)
    return replace(payer, **members)


def make_engine(folder: Path):
    return open_engine(folder / "wallet.db")
