"""The events of Duels on their way into the books: only where a set has duels, each with a history of its own."""

from dataclasses import replace

import pytest

from node.adapters.chain.abi import Interface, load_artifact
from node.adapters.chain.evm import EvmChain
from node.adapters.chain.pool import Pool
from node.core.facts import ChainEvent, Kind, Subject, args_from_json, args_to_json, subject_of
from node.core.types import ZERO32, Address
from tests.unit.test_deployment import DEPLOYMENT

DUELS = Address(b"\xd0" * 20)
WORDS = {"address": b"\x0a" * 20, "bytes32": b"\x0b" * 32}
EVENTS = [dict(entry) for entry in load_artifact("Duels").abi if entry["type"] == "event"]


def raw_log(topic: bytes) -> dict[str, object]:
    """A `Resigned` of one provider."""
    return {
        "address": "0x" + DUELS.hex(),
        "topics": ["0x" + topic.hex(), "0x" + "00" * 12 + "0a" * 20],
        "data": "0x",
        "blockNumber": "0x5",
        "blockHash": "0x" + "01" * 32,
        "transactionHash": "0x" + "02" * 32,
        "logIndex": "0x0",
    }


def chain_of(duels: Address | None) -> EvmChain:
    return EvmChain(replace(DEPLOYMENT, duels=duels), Pool((), 31337, lambda: 0.0))


def resigned() -> bytes:
    return next(topic for topic, e in Interface.of(load_artifact("Duels")).events.items() if e["name"] == "Resigned")


def test_events__set_with_duels__are_decoded() -> None:
    (found,) = chain_of(DUELS)._reading._logs.events([raw_log(resigned())])
    assert (found.contract, found.name, found.args) == ("duels", "Resigned", {"provider": b"\x0a" * 20})


def test_events__set_without_duels__a_strangers_log_does_not_count() -> None:
    assert chain_of(None)._reading._logs.events([raw_log(resigned())]) == ()


@pytest.mark.parametrize("entry", EVENTS, ids=lambda entry: entry["name"])
def test_subject_of__every_event_of_duels__has_one_and_survives_storage(entry: dict) -> None:
    args = {part["name"]: WORDS.get(part["type"], 7) for part in entry["inputs"]}
    event = ChainEvent(1, ZERO32, 0, ZERO32, "duels", entry["name"], args)
    subject = subject_of(event)
    is_duel = "duelId" in args
    assert (subject.kind is Kind.DUEL, len(subject.key)) == (is_duel, 32 if is_duel else 20)
    assert args_from_json(args_to_json(args)) == args


def test_subject_of__adoption__is_the_providers_history() -> None:
    event = ChainEvent(1, ZERO32, 0, ZERO32, "duels", "Adopted", {"controller": b"\x01" * 20, "provider": b"\x02" * 20})
    assert subject_of(event) == Subject(Kind.MEMBER, b"\x02" * 20)
