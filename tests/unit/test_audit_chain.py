"""Events by the shipped ABI, logs, blooms, pinning and the lies of RPC endpoints."""

import json
from pathlib import Path

import httpx
import pytest

from node.audit.abi import EventType, call_data, decode_words
from node.audit.chain import fetch_logs, may_contain, parse_header, pin_block
from node.audit.crypto import keccak
from node.audit.deployment import Deployment, load_deployment, parse_deployment
from node.audit.errors import CannotAuditError, MalformedError
from node.audit.events import ESCROW_EVENTS, REGISTRY_EVENTS, decode_event, parse_log, quantity_of
from node.audit.rpc import Rpc, RpcRefusedError
from node.audit.verify import no_progress
from node.audit.views import View, Views
from tests.frauds.auditing import audit_history, codes_of, deployment_of, no_pause
from tests.frauds.market import settled
from tests.frauds.serving import Served

ABI = Path(__file__).parents[2] / "node" / "abi"
IGNORED = {"EIP712DomainChanged"}
"""Emitted only by contracts that change their domain; ours never does."""


def shipped_events(contract: str) -> dict[str, list[tuple[str, str, bool]]]:
    items = json.loads((ABI / f"{contract}.json").read_text())["abi"]
    return {
        item["name"]: [(member["name"], member["type"], member["indexed"]) for member in item["inputs"]]
        for item in items
        if item["type"] == "event" and item["name"] not in IGNORED
    }


@pytest.mark.parametrize(("contract", "events"), [("Escrow", ESCROW_EVENTS), ("Registry", REGISTRY_EVENTS)])
def test_events__written_by_hand__equal_the_shipped_abi(contract: str, events: tuple[EventType, ...]) -> None:
    assert {event.name: list(event.members) for event in events} == shipped_events(contract)


def test_topic__transfer__is_the_well_known_one() -> None:
    event = EventType.of("Transfer(address indexed from, address indexed to, uint256 value)")
    assert event.topic.hex().startswith("ddf252ad")


def test_call_data__balance_of__has_the_well_known_selector() -> None:
    assert call_data("balanceOf(address)", b"\x11" * 20) == "0x70a08231" + "00" * 12 + "11" * 20


@pytest.mark.parametrize(
    ("kinds", "payload"),
    [
        (["uint128"], b""),
        (["uint64"], (2**64).to_bytes(32, "big")),
        (["bool"], (2).to_bytes(32, "big")),
        (["address"], b"\x01" * 32),
        (["string"], (64).to_bytes(32, "big")),
        (["string"], (32).to_bytes(32, "big") + (9).to_bytes(32, "big") + b"short"),
    ],
)
def test_decode_words__not_canonical__is_malformed(kinds: list[str], payload: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_words(kinds, payload)


def test_decode_event__missing_topic__is_malformed() -> None:
    served = Served(settled().history())
    log = served.logs[-1] | {"topics": served.logs[-1]["topics"][:2]}
    with pytest.raises(MalformedError):
        decode_event("escrow", parse_log(log), 0)


@pytest.mark.parametrize("change", [{"removed": True}, {"topics": None}, {"data": "0x1"}, {"blockNumber": 5}])
def test_parse_log__bent__is_malformed(change: dict) -> None:
    served = Served(settled().history())
    with pytest.raises(MalformedError):
        parse_log(served.logs[0] | change)


@pytest.mark.parametrize("text", [None, 5, "5", "0xzz"])
def test_quantity_of__no_quantity__is_malformed(text: object) -> None:
    with pytest.raises(MalformedError):
        quantity_of(text, "x")


def test_parse_header__unknown_block__is_malformed() -> None:
    with pytest.raises(MalformedError, match="unknown"):
        parse_header(None)


def test_may_contain__bits_of_the_address__must_all_be_set() -> None:
    bloom = bytearray(256)
    address = b"\x22" * 20
    assert not may_contain(bytes(bloom), address)
    digest = keccak(address)
    for place in (0, 2, 4):
        bit = int.from_bytes(digest[place : place + 2], "big") % 2048
        bloom[255 - bit // 8] |= 1 << bit % 8
    assert may_contain(bytes(bloom), address)


# ------------------------------------------------------------------------------------------------------- RPC endpoints
class Endpoint:
    """A JSON-RPC endpoint whose answers a test bends."""

    def __init__(self, **answers: object) -> None:
        self.served = Served(settled().history())
        self.answers = answers
        self.calls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.read())
        calls = body if isinstance(body, list) else [body]
        results = [self.one(call) for call in calls]
        return httpx.Response(200, json=results if isinstance(body, list) else results[0])

    def one(self, call: dict) -> dict:
        self.calls.append(call["method"])
        answer = self.answers.get(call["method"], self.served.rpc)
        if callable(answer):
            answer = answer(call["method"], call["params"], {})
        if isinstance(answer, RpcRefusedError):
            return {"id": call["id"], "error": {"code": -32000, "message": str(answer)}}
        return {"id": call["id"], "result": answer}


def rpc_of(handler: object) -> Rpc:
    return Rpc("http://rpc", httpx.Client(transport=httpx.MockTransport(handler)), no_pause)


def deployed() -> Deployment:
    return deployment_of(settled().history())


@pytest.mark.parametrize(
    ("answers", "match"),
    [
        ({"eth_chainId": "0x1"}, "is chain 1"),
        ({"eth_getCode": "0x"}, "no contract"),
        ({"eth_chainId": None}, "does not know"),
        ({"eth_getBlockByNumber": None}, "does not know"),
        ({"eth_chainId": RpcRefusedError("no")}, "does not know"),
    ],
)
def test_pin_block__wrong_chain__cannot_audit(answers: dict, match: str) -> None:
    with pytest.raises(CannotAuditError, match=match):
        pin_block(rpc_of(Endpoint(**answers)), deployed(), "finalized")


def test_pin_block__by_number_hash_and_tag__is_the_same_block() -> None:
    rpc = rpc_of(Endpoint())
    by_tag = pin_block(rpc, deployed(), "finalized")
    assert pin_block(rpc, deployed(), str(by_tag.number)) == by_tag
    assert pin_block(rpc, deployed(), "0x" + by_tag.block_hash.hex()) == by_tag


@pytest.mark.parametrize(("block", "match"), [("999999", "no block"), ("0", "older than the deployment")])
def test_pin_block__unusable_block__cannot_audit(block: str, match: str) -> None:
    with pytest.raises(CannotAuditError, match=match):
        pin_block(rpc_of(Endpoint()), deployed(), block)


def test_pin_block__deployment_of_another_run__cannot_audit() -> None:
    members = {name: "0x" + getattr(deployed(), name).hex() for name in ("escrow", "registry", "currency")}
    stale = parse_deployment(
        members | {"schema": 1, "chain_id": 31337, "deploy_block": 1, "block_hash": "0x" + "ab" * 32}
    )
    with pytest.raises(CannotAuditError, match="another chain with the same id"):
        pin_block(rpc_of(Endpoint()), stale, "finalized")


def test_fetch_logs__range_refused__is_halved_until_it_passes() -> None:
    endpoint = Endpoint()

    def grudging(method: str, params: list, lies: dict) -> object:
        width = int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16)
        return RpcRefusedError("too many") if width > 3 else endpoint.served.rpc(method, params, lies)

    endpoint.answers["eth_getLogs"] = grudging
    rpc = rpc_of(endpoint)
    logs = fetch_logs(rpc, deployed(), pin_block(rpc, deployed(), "finalized"), no_progress)
    assert len(logs) == len(endpoint.served.logs)


@pytest.mark.parametrize("answer", [RpcRefusedError("never"), None, [5]])
def test_fetch_logs__no_logs_to_be_had__cannot_audit(answer: object) -> None:
    rpc = rpc_of(Endpoint(eth_getLogs=answer))
    with pytest.raises(CannotAuditError):
        fetch_logs(rpc, deployed(), pin_block(rpc, deployed(), "finalized"), no_progress)


def test_call__endpoint_down__asks_again_then_cannot_audit() -> None:
    asked = []

    def down(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(502)

    with pytest.raises(CannotAuditError, match="does not answer"):
        rpc_of(down).call("eth_chainId")
    assert len(asked) == 4


def test_call__endpoint_recovers__gives_the_answer() -> None:
    answers = iter([httpx.Response(503), httpx.Response(200, json={"id": 0, "result": "0x1"})])
    assert rpc_of(lambda _request: next(answers)).call("eth_chainId") == "0x1"


def test_call_many__batch_answered_out_of_order__keeps_the_order() -> None:
    def shuffled(request: httpx.Request) -> httpx.Response:
        calls = json.loads(request.read())
        return httpx.Response(200, json=[{"id": c["id"], "result": c["params"][0]} for c in reversed(calls)])

    calls = [("echo", [number]) for number in range(5)]
    assert rpc_of(shuffled).call_many(calls) == [0, 1, 2, 3, 4]


def test_call_many__batch_short_of_one__cannot_audit() -> None:
    def short(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=[{"id": call["id"], "result": 1} for call in json.loads(request.read())[1:]])

    with pytest.raises(CannotAuditError, match="unanswered"):
        rpc_of(short).call_many([("a", []), ("b", [])])


def test_views__block_by_hash_refused__asks_by_number() -> None:
    endpoint = Endpoint()

    def by_number_only(method: str, params: list, lies: dict) -> object:
        if isinstance(params[1], dict):
            return RpcRefusedError("invalid block")
        return endpoint.served.rpc(method, params, lies)

    endpoint.answers["eth_call"] = by_number_only
    rpc = rpc_of(endpoint)
    views = Views(rpc, pin_block(rpc, deployed(), "finalized"))
    assert views.call(View(deployed().escrow, "thawSeconds()", (), ("uint64",))) == [86_400]


@pytest.mark.parametrize("answer", [RpcRefusedError("reverted"), None, "0x"])
def test_views__no_result__cannot_audit(answer: object) -> None:
    rpc = rpc_of(Endpoint(eth_call=answer))
    views = Views(rpc, pin_block(rpc, deployed(), "finalized"))
    with pytest.raises(CannotAuditError):
        views.call(View(deployed().escrow, "thawSeconds()", (), ("uint64",)))


def test_verify__foreign_signature_domain__cannot_audit() -> None:
    history = settled().history()

    class Foreign(Served):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.history["views"]["escrow domainSeparator()"] = ["0x" + "12" * 32]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.frauds.auditing.Served", Foreign)
        with pytest.raises(CannotAuditError, match="EIP-712"):
            audit_history(history)


def test_call_many__endpoint_takes_short_batches_only__splits_until_it_does() -> None:
    sizes = []

    def short_only(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.read())
        calls = body if isinstance(body, list) else [body]
        sizes.append(len(calls))
        if len(calls) > 3:
            return httpx.Response(200, json={"id": None, "error": {"code": -32600, "message": "batch too large"}})
        results = [{"id": call["id"], "result": call["params"][0]} for call in calls]
        return httpx.Response(200, json=results if isinstance(body, list) else results[0])

    assert rpc_of(short_only).call_many([("echo", [number]) for number in range(10)]) == list(range(10))
    assert max(sizes) == 10


def test_verify__chain_reorganised_meanwhile__cannot_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    honest, moved = Served.block_hash, []

    def moving(self: Served, number: int) -> str:
        return (
            honest(self, number + 1_000) if moved and number == self.history["pinned_block"] else honest(self, number)
        )

    def logs(self: Served, wanted: dict, lies: dict) -> list:
        moved.append(1)
        return []

    monkeypatch.setattr(Served, "block_hash", moving)
    monkeypatch.setattr(Served, "_get_logs", logs)
    with pytest.raises(CannotAuditError, match="reorganised"):
        audit_history(settled().history())


def test_verify__no_block_receipts_to_be_had__says_so() -> None:
    history = settled().history()

    class Without(Served):
        def _rpc_answer(self, call: dict, lies: dict) -> dict:
            if call["method"] == "eth_getBlockReceipts":
                return {"id": call["id"], "error": {"code": -32601, "message": "method not found"}}
            return super()._rpc_answer(call, lies)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.frauds.auditing.Served", Without)
        audit = audit_history(history)
    assert codes_of(audit) == []
    assert "block receipts" in audit.report.notes[0]


def test_verify__many_blocks__leaves_the_blooms_out_and_says_so() -> None:
    audit = audit_history(settled().history(), bloom_limit=3)
    assert codes_of(audit) == []
    assert "--blooms" in audit.report.notes[0]


def test_load_deployment__each_fault__says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "deployment.json"
    with pytest.raises(CannotAuditError, match="--deployment"):
        load_deployment(path)
    for text, match in (("{", "not JSON"), ("[]", "schema 1"), ('{"schema": 2}', "schema 1")):
        path.write_text(text)
        with pytest.raises(CannotAuditError, match=match):
            load_deployment(path)
