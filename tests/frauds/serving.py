"""A history served: its chain over JSON-RPC and its nodes over HTTP, as one function from request to answer.

Tests mount it in memory (httpx.MockTransport) or behind a real socket; the auditor cannot tell.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import eth_abi
import httpx
import orjson

from node.core.hashing import Domain
from node.core.merkle import Peaks, leaf_hash
from node.core.messages import Receipt
from node.core.wire import message_from_json
from tests.frauds.model import GENESIS_AT, keccak

ABI_FOLDER = Path(__file__).parents[2] / "node" / "abi"
RPC_PATH = "/rpc"


def _abi(contract: str) -> list[dict]:
    return json.loads((ABI_FOLDER / f"{contract}.json").read_text())["abi"]


def _types(members: list[dict]) -> list[str]:
    return [member["type"] for member in members]


def _raw(value: object) -> object:
    """A history's value for eth_abi: 32-byte hashes are hex texts in JSON."""
    return bytes.fromhex(value[2:]) if isinstance(value, str) and len(value) == 66 and value[:2] == "0x" else value


def _topic(kind: str, value: object) -> str:
    return "0x" + eth_abi.encode([kind], [_raw(value)]).hex()


@dataclass
class Served:
    """Answers for one history. `rpc` names the endpoint, whose lies the history's options hold."""

    history: dict
    base: str = "http://127.0.0.1"
    logs: list[dict] = field(default_factory=list)
    functions: dict[str, tuple[str, dict]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.events = {}
        for contract, name in (("escrow", "Escrow"), ("registry", "Registry"), ("duels", "Duels")):
            for item in _abi(name):
                if item["type"] == "event":
                    self.events[contract, item["name"]] = item
                elif item["type"] == "function":
                    self._add_function(contract, item)
        self.functions["currency " + keccak(b"balanceOf(address)")[:4].hex()] = (
            "balanceOf(address)",
            {"inputs": [{"type": "address"}], "outputs": [{"type": "uint256"}]},
        )
        self.logs = [self._log(place, event) for place, event in enumerate(self.history["events"])]
        domain = Domain.of(self.history["chain_id"], bytes.fromhex(self.history["escrow"][2:]))
        self.history["views"]["escrow domainSeparator()"] = ["0x" + domain.separator.hex()]

    def _add_function(self, contract: str, item: dict) -> None:
        signature = f"{item['name']}({','.join(_types(item['inputs']))})"
        self.functions[f"{contract} {keccak(signature.encode())[:4].hex()}"] = (signature, item)

    # the chain
    def _log(self, place: int, event: dict) -> dict:
        item = self.events[event["contract"], event["name"]]
        signature = f"{event['name']}({','.join(_types(item['inputs']))})"
        args = event["args"] | {
            name: text.replace("{archive}", self.base) for name, text in event["args"].items() if isinstance(text, str)
        }
        plain = [member for member in item["inputs"] if not member["indexed"]]
        topics = [_topic(m["type"], args[m["name"]]) for m in item["inputs"] if m["indexed"]]
        return {
            "address": event.get("address", self.history[event["contract"]]),
            "topics": ["0x" + keccak(signature.encode()).hex(), *topics],
            "data": "0x" + eth_abi.encode(_types(plain), [_raw(args[m["name"]]) for m in plain]).hex(),
            "blockNumber": hex(event["block"]),
            "blockHash": self.block_hash(event["block"]),
            "transactionHash": "0x" + keccak(f"tx {place}".encode()).hex(),
            "logIndex": hex(place),
            "removed": False,
        }

    def block_hash(self, number: int) -> str:
        if "duels" in self.history:  # as the EVM in process says it
            name = self.history["options"].get("block_names", {}).get(str(number), str(number))
            return "0x" + keccak(name.encode()).hex()
        return "0x" + keccak(f"block {number} {self.history['chain_id']}".encode()).hex()

    def _header(self, number: int) -> dict | None:
        if not 0 <= number <= self.history["pinned_block"]:
            return None
        bloom = bytearray(256)
        for log in self.logs:
            if int(log["blockNumber"], 16) == number:
                _mark(bloom, bytes.fromhex(log["address"][2:]))
        at = self.history["block_times"].get(str(number), GENESIS_AT + number)
        return {
            "number": hex(number),
            "hash": self.block_hash(number),
            "parentHash": self.block_hash(number - 1),
            "timestamp": hex(at),
            "logsBloom": "0x" + bloom.hex(),
        }

    def rpc(self, method: str, params: list, lies: dict) -> object:
        constants = {"eth_chainId": hex(self.history["chain_id"]), "eth_getCode": "0x60"}
        if method in constants:
            return constants[method]
        if method == "eth_getBlockByNumber":
            tag = params[0]
            return self._header(int(tag, 16) if tag.startswith("0x") else self.history["pinned_block"])
        if method == "eth_getBlockByHash":
            numbers = range(self.history["pinned_block"] + 1)
            return next((self._header(n) for n in numbers if self.block_hash(n) == params[0]), None)
        if method == "eth_getLogs":
            return self._get_logs(params[0], lies)
        return self._more(method, params)

    def _more(self, method: str, params: list) -> object:
        if method == "eth_getBlockReceipts":
            return [{"logs": [log for log in self.logs if log["blockNumber"] == params[0]]}]
        if method == "eth_getTransactionByHash":
            return self._transaction(params[0])
        assert method == "eth_call", method
        return self._call(params[0])

    def _transaction(self, tx_hash: str) -> dict:
        place = next(number for number, log in enumerate(self.logs) if log["transactionHash"] == tx_hash)
        return self.history["events"][place]["tx"]

    def _get_logs(self, wanted: dict, lies: dict) -> list[dict]:
        first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
        hidden = lies.get("hides", [])
        return [
            log
            for place, log in enumerate(self.logs)
            if first <= int(log["blockNumber"], 16) <= last and place not in hidden
        ]

    def _call(self, call: dict) -> str:
        roles = ("escrow", "registry", "duels", "currency")
        contract = next(name for name in roles if self.history.get(name) == call["to"])
        signature, item = self.functions[f"{contract} {call['data'][2:10]}"]
        values = eth_abi.decode(_types(item["inputs"]), bytes.fromhex(call["data"][10:]))
        key = " ".join([contract, signature, *(str(value) for value in values)])
        row = self.history["views"].get(key)
        outputs = item["outputs"]
        if len(outputs) == 1 and "components" in outputs[0]:
            kinds = _types(outputs[0]["components"])
            kind = f"({','.join(kinds)})"
            return "0x" + eth_abi.encode([kind], [tuple(self._full(row, kinds))]).hex()
        return "0x" + eth_abi.encode(_types(outputs), self._full(row, _types(outputs))).hex()

    def _full(self, row: list | None, kinds: list[str]) -> list:
        zeros = {"address": "0x" + "00" * 20, "string": "", "bytes32": bytes(32), "bool": False}
        filled = [zeros.get(kind, 0) for kind in kinds]
        for place, value in enumerate(row or []):
            filled[place] = value.replace("{archive}", self.base) if isinstance(value, str) else value
        return [_raw(value) for value in filled]

    # the nodes
    def get(self, name: str, path: str, query: dict[str, str]) -> tuple[int, object]:
        options = self.history["options"]
        if name in options.get("down", []):
            return 503, {"error": {"message": "down"}}
        parts = path.strip("/").split("/")
        if parts[:2] == ["v1", "settlements"]:
            return self._settlement(name, parts[2], query)
        if parts[:2] == ["v1", "offers"]:
            document = self.history["offers"].get(f"{name} {parts[2]}")
            return (200, document) if document else (404, {"error": {"message": "unknown offer"}})
        if parts[:2] == ["v1", "receipts"]:
            return self._receipts(name, query)
        if parts[:2] == ["v1", "lanes"]:
            return self._lane(name, parts[2], parts[3])
        return 404, {"error": {"message": "no such route"}}

    def _settlement(self, name: str, root: str, query: dict[str, str]) -> tuple[int, object]:
        settlement = self.history["settlements"].get(root)
        if settlement is None or settlement["payee"] != name or settlement.get("hidden"):
            return 404, {"error": {"message": "unknown root"}}
        start, limit = int(query.get("from", 0)), min(int(query.get("limit", 100)), 500)
        if start < settlement.get("pruned_before", 0):
            return 410, {"error": {"message": "pruned"}}
        lane = "|".join(str(part) for part in settlement["lane"])
        entries = settlement.get("entries", self.history["lanes"].get(lane, []))[: settlement.get("rows", None)]
        if "rows" not in settlement:
            entries = entries[: settlement["count"]]
        rows = entries[start : start + limit]
        leaves = (leaf_hash(message_from_json(Receipt, each["receipt"]).struct_hash()) for each in entries[:start])
        peaks = ["0x" + peak.hex() for peak in Peaks().extend(leaves).hashes]
        end = start + len(rows)
        answer = {name: settlement[name] for name in ("count", "claim", "claimSignature")}
        answer |= {"root": root, "peaks": settlement.get("peaks", peaks) if start else []}
        return 200, answer | {"receipts": rows, "next": end if end < len(entries) else None}

    def _lane_rows(self, name: str, payer: str, lane: str) -> dict[int, list[dict]]:
        names = self.history["names"]
        rows = {}
        for key, entries in self.history["lanes"].items():
            *parties, generation = key.split("|")
            if [names[party] for party in parties] == [payer, names[name], lane]:
                rows[int(generation)] = entries
        return rows

    def _receipts(self, name: str, query: dict[str, str]) -> tuple[int, object]:
        if self.history["options"].get("hides_receipts"):
            return 500, {"error": {"message": "no"}}
        entries = self._lane_rows(name, query["payer"], query["lane"]).get(int(query["generation"]), [])
        after, limit = int(query.get("after", 0)), int(query.get("limit", 100))
        rows = [entry for entry in entries if int(entry["receipt"]["seq"]) > after]
        following = rows[limit - 1]["receipt"]["seq"] if len(rows) > limit else None
        return 200, {"receipts": rows[:limit], "next": following}

    def _lane(self, name: str, payer: str, lane: str) -> tuple[int, object]:
        rows = self._lane_rows(name, payer, lane)
        if not rows:
            return 404, {"error": {"message": "unknown lane"}}
        generation = max(rows)
        charged = rows[generation][-1]["receipt"]["cumulative"] if rows[generation] else "0"
        best = max((int(entry["voucher"]["ceiling"]) for entry in rows[generation]), default=0)
        totals = {"generation": generation, "charged": charged, "reserved": "0", "bestCeiling": str(best)}
        return 200, totals | self.history["options"].get("lane_totals", {})

    # both
    def answer(self, method: str, url: str, body: bytes) -> tuple[int, bytes]:
        """Any HTTP request of the auditor's."""
        parts = urlsplit(url)
        if method == "POST" and parts.path.startswith(RPC_PATH):
            lies = self.history["options"].get("rpc_lies", {}).get(parts.path.removeprefix(RPC_PATH), {})
            calls = orjson.loads(body)
            results = [self._rpc_answer(call, lies) for call in (calls if isinstance(calls, list) else [calls])]
            return 200, orjson.dumps(results if isinstance(calls, list) else results[0])
        name, _, path = parts.path.strip("/").partition("/")
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        status, document = self.get(name, path, query)
        return status, orjson.dumps(document)

    def _rpc_answer(self, call: dict, lies: dict) -> dict:
        answer = {"jsonrpc": "2.0", "id": call["id"]}
        return answer | {"result": self.rpc(call["method"], call["params"], lies)}

    def transport(self) -> httpx.MockTransport:
        """In memory."""

        def handle(request: httpx.Request) -> httpx.Response:
            status, body = self.answer(request.method, str(request.url), request.read())
            return httpx.Response(status, content=body)

        return httpx.MockTransport(handle)


def _mark(bloom: bytearray, octets: bytes) -> None:
    digest = keccak(octets)
    for place in (0, 2, 4):
        bit = int.from_bytes(digest[place : place + 2], "big") % 2048
        bloom[255 - bit // 8] |= 1 << bit % 8
