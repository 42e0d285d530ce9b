"""Factories with sane defaults for routing tests."""

from node.core.routing.load import EngineLimits, EngineLoad, Job, Queued
from node.core.routing.speed import Speed
from node.core.routing.types import Bid, Case, Demands, Forecast, Here, RouteRequest
from node.core.types import Address, Amount, Bytes32

SPEED = Speed(0.017, 54e-6, 0.14e-6, 11_000.0)


def make_address(number):
    return Address(number.to_bytes(20, "big"))


def make_load(jobs=(), queue=(), *, kv_room=36_000, max_sequences=256):
    limits = EngineLimits(kv_room, max_sequences, 2_048)
    return EngineLoad(sorted(Job(*job) for job in jobs), [Queued(*entry) for entry in queue], limits)


def make_request(**changes):
    settings = {
        "request_id": Bytes32(b"\x07" * 32),
        "models": ("llama",),
        "prompt_tokens": 100,
        "max_tokens": 1_000,
        **changes,
    }
    return RouteRequest(**settings)


def make_forecast(start=0.1, token=0.02, added=0.0):
    return Forecast(start, token, added)


def make_here(forecast=None, *, idle=2.0, usage=0.1, in_flight=0, has_slot=True):
    return Here(forecast or make_forecast(), idle, usage, in_flight, has_slot)


NOBODY_HOME = Here(None, 0.0, 0.0, 0, has_slot=False)


def make_bid(provider=1, *, price=10, forecast=None, in_flight=0, has_slot=True):
    return Bid(make_address(provider), Amount(price), forecast or make_forecast(), in_flight, has_slot)


def make_case(here=None, bids=None, *, request=None, expected=100.0, peers=3):
    return Case(request or make_request(), here or make_here(), expected, peers, bids)


def demand(**changes):
    return make_request(demands=Demands(**changes))


class LoadedDice:
    """Throws what it is told, then zeros."""

    def __init__(self, *throws):
        self.throws = list(throws)

    def random(self):
        return self.throws.pop(0) if self.throws else 0.0
