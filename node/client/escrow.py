"""What a payer reads of the chain: operators, lanes, settlements, providers. Plain JSON-RPC, never signs, never sends.

Who may sign receipts is read at a finalised block only: a reorganisation must not make a stranger's receipt good.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Protocol

import httpx
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from node.core.errors import BadConfig, ChainUnavailable
from node.core.hashing import keccak
from node.core.types import ZERO32, ZERO_ADDRESS, Address, Amount, Bytes32, LaneKey
from node.core.wire import hex_of
from node.deployment import Deployment

RPC_TIMEOUT = 10.0
FINALISED = "finalized"


@dataclass(frozen=True, slots=True)
class PayeeFacts:
    """A payee's operator key and generation; generation 0 means that it has no operator yet.

    `offers`: what the registry names as its offer, finalised and at the head (a new one counts at once, the old until
    then); empty when it is not registered.
    """

    payee: Address
    operator: Address
    generation: int
    offers: frozenset[Bytes32] = frozenset()


@dataclass(frozen=True, slots=True)
class PairFacts:
    """A pair in the escrow, lifetime totals in base units."""

    allotted: Amount
    claimed: Amount
    thawing: Amount


@dataclass(frozen=True, slots=True)
class Listing:
    """A provider as the registry lists it. Its endpoint is a stranger's text: see safe_url."""

    payee: Address
    endpoint: str
    offer_hash: Bytes32
    stake: Amount


class EscrowReader(Protocol):
    """What the pay flow needs of the chain."""

    def read_payee(self, payee: Address) -> PayeeFacts:
        """At a finalised block. Raises ChainUnavailable."""

    def read_operator(self, payee: Address, generation: int) -> Address:
        """Of any generation; the zero address when there was none. Raises ChainUnavailable."""


def load_abi(contract: str) -> list[dict[str, Any]]:
    """The shipped ABI of a contract."""
    document = json.loads(files("node.abi").joinpath(f"{contract}.json").read_text(encoding="utf-8"))
    abi: list[dict[str, Any]] = document["abi"]
    return abi


def type_of(parameter: dict[str, Any]) -> str:
    """The canonical type of an ABI parameter, tuples spelled out."""
    kind = str(parameter["type"])
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(type_of(part) for part in parameter["components"]) + ")" + kind.removeprefix("tuple")


@dataclass(frozen=True, slots=True)
class Function:
    """One view function of a shipped ABI."""

    selector: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @staticmethod
    def of(contract: str, name: str) -> "Function":
        """Raises BadConfig when the shipped ABI has no such function: the package is damaged."""
        entry = next((e for e in load_abi(contract) if e.get("type") == "function" and e.get("name") == name), None)
        if entry is None:
            raise BadConfig(f"the shipped ABI of {contract} has no {name}: install wwwserve again")
        inputs = tuple(type_of(parameter) for parameter in entry["inputs"])
        outputs = tuple(type_of(parameter) for parameter in entry["outputs"])
        return Function(keccak(f"{name}({','.join(inputs)})".encode())[:4], inputs, outputs)

    def encode(self, *arguments: object) -> str:
        """Call data."""
        return hex_of(self.selector + encode(self.inputs, arguments))

    def decode(self, data: bytes) -> tuple[Any, ...]:
        """Return values. Raises ChainUnavailable: an endpoint that answers nonsense is no endpoint."""
        try:
            return tuple(decode(self.outputs, data))
        except (DecodingError, OverflowError) as exc:
            raise ChainUnavailable("the RPC endpoint's answer is not what the contract returns") from exc


class Rpc:
    """JSON-RPC over one or more endpoints: the next one is asked when one fails."""

    def __init__(self, urls: Sequence[str]) -> None:
        if not urls:
            raise BadConfig("no RPC endpoint is set: give --rpc-url")
        self._urls = tuple(urls)
        self._ids = itertools.count(1)
        self._http = httpx.Client(timeout=RPC_TIMEOUT, trust_env=False)

    def call(self, method: str, *params: object) -> Any:  # noqa: ANN401 -- any JSON
        """The result. Raises ChainUnavailable when no endpoint gives one."""
        why = ""
        for url in self._urls:
            body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
            try:
                reply = self._http.post(url, json=body).json()
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
                why = f"{url}: {exc!r}"
                continue
            if isinstance(reply, dict) and "result" in reply:
                return reply["result"]
            why = f"{url}: {str(reply)[:200]}"
        raise ChainUnavailable(f"no RPC endpoint answers {method} ({why})")

    def close(self) -> None:
        """Release the connections."""
        self._http.close()


class ChainReader:
    """`EscrowReader` and more over JSON-RPC."""

    def __init__(self, deployment: Deployment, rpc: Rpc) -> None:
        self.deployment = deployment
        self.rpc = rpc
        names = ("payees", "operatorOf", "pairs", "laneState")
        self._escrow = {name: Function.of("Escrow", name) for name in names}
        self._providers = Function.of("Registry", "providers")
        self._provider = Function.of("Registry", "provider")

    def check_chain(self) -> None:
        """The endpoint serves the deployment's own chain. Raises BadConfig or ChainUnavailable."""
        found = int(self.rpc.call("eth_chainId"), 16)
        if found != self.deployment.chain_id:
            raise BadConfig(
                f"the RPC endpoint is on chain {found}, the deployment file on {self.deployment.chain_id}",
                found=found,
                expected=self.deployment.chain_id,
            )
        if self.rpc.call("eth_getCode", hex_of(self.deployment.escrow), "latest") in ("0x", "", None):
            raise BadConfig("there is no escrow at the deployment file's address on this chain")

    def read_payee(self, payee: Address) -> PayeeFacts:
        """See EscrowReader."""
        (state,) = self._read("payees", payee)
        offers = frozenset(self._read_offer(payee, block) for block in (FINALISED, "latest"))
        return PayeeFacts(payee, _address(state[0]), int(state[1]), offers - {ZERO32})

    def _read_offer(self, payee: Address, block: str) -> Bytes32:
        data = self._eth_call(self.deployment.registry, self._provider.encode(payee), block)
        (row,) = self._provider.decode(data)
        return Bytes32(bytes(row[5]))

    def read_operator(self, payee: Address, generation: int) -> Address:
        """See EscrowReader."""
        (operator,) = self._read("operatorOf", payee, generation)
        return _address(operator)

    def read_pair(self, payer: Address, payee: Address) -> PairFacts:
        """The allotment, finalised."""
        (state,) = self._read("pairs", payer, payee)
        return PairFacts(*(Amount(int(total)) for total in state[:3]))

    def read_claimed(self, key: LaneKey) -> Amount:
        """What was ever claimed through a lane, finalised."""
        (state,) = self._read("laneState", key.payer, key.payee, key.lane)
        return Amount(int(state[0]))

    def read_listings(self, first: int, count: int) -> list[Listing] | None:
        """One page of the registry, listed providers only; None past the end."""
        data = self._eth_call(self.deployment.registry, self._providers.encode(first, count))
        rows = self._providers.decode(data)[0]
        if not rows:
            return None
        return [Listing(_address(row[0]), str(row[6]), Bytes32(row[5]), Amount(int(row[3]))) for row in rows if row[1]]

    def finalised_block(self) -> int:
        """The number of the newest finalised block."""
        return int(self.rpc.call("eth_getBlockByNumber", FINALISED, False)["number"], 16)

    def _read(self, name: str, *arguments: object) -> tuple[Any, ...]:
        function = self._escrow[name]
        return function.decode(self._eth_call(self.deployment.escrow, function.encode(*arguments)))

    def _eth_call(self, to: Address, data: str, block: str = FINALISED) -> bytes:
        result = self.rpc.call("eth_call", {"to": hex_of(to), "data": data}, block)
        if result in ("0x", None):
            raise ChainUnavailable("the contract is not there at the newest finalised block: wait until it is final")
        try:
            return bytes.fromhex(str(result).removeprefix("0x"))
        except ValueError as exc:
            raise ChainUnavailable("the RPC endpoint's answer is not hex") from exc


def _address(text: object) -> Address:
    raw = bytes.fromhex(str(text).removeprefix("0x")) if isinstance(text, str) else b""
    return Address(raw) if len(raw) == len(ZERO_ADDRESS) else ZERO_ADDRESS
