"""The same market on a real chain: anvil, the shipped contracts, and the model's calls as transactions.

Accounts are impersonated, so every name of a history may call without its key; signatures are the real ones.
"""

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import eth_abi
import httpx

from tests.frauds.model import Model, hexed, keccak
from tests.frauds.serving import ABI_FOLDER

ROOT = Path(__file__).parents[2]
ANVIL = ROOT / "node_modules" / ".bin" / "anvil"
RICH = hex(10**20)


def _kind(member: dict) -> str:
    if "components" not in member:
        return member["type"]
    inner = ",".join(_kind(each) for each in member["components"])
    return f"({inner})" + member["type"].removeprefix("tuple")


class Contract:
    """Calldata by function name, from the shipped ABI."""

    def __init__(self, name: str) -> None:
        items = json.loads((ABI_FOLDER / f"{name}.json").read_text())["abi"]
        self.inputs = {item["name"]: item["inputs"] for item in items if item["type"] == "function"}

    def call_data(self, name: str, *args: object) -> str:
        kinds = [_kind(member) for member in self.inputs[name]]
        selector = keccak(f"{name}({','.join(kinds)})".encode())[:4]
        return hexed(selector + eth_abi.encode(kinds, args))


@dataclass
class RealChain(Model):
    """`Model` whose calls are mined. The totals it inherits are kept too, for the settlements' `paid`."""

    url: str = ""
    archive: str = ""
    contracts: dict[str, Contract] = field(default_factory=dict)
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30, trust_env=False, verify=False))

    @staticmethod
    def deployed(url: str, deployment: dict) -> "RealChain":
        names = {"escrow": "Escrow", "registry": "Registry", "currency": "DevCurrency"}
        chain = RealChain(
            chain_id=deployment["chain_id"],
            escrow=deployment["escrow"].lower(),
            registry=deployment["registry"].lower(),
            currency=deployment["currency"].lower(),
            url=url,
        )
        chain.contracts = {role: Contract(name) for role, name in names.items()}
        return chain

    @property
    def now(self) -> int:
        if not self.url:
            return 0
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def rpc(self, method: str, *params: object) -> object:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self.client.post(self.url, json=body).json()
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def send(self, sender: str, role: str, name: str, *args: object) -> None:
        self.rpc("anvil_impersonateAccount", sender)
        self.rpc("anvil_setBalance", sender, RICH)
        data = self.contracts[role].call_data(name, *args)
        transaction = {"from": sender, "to": getattr(self, role), "data": data, "gas": hex(5_000_000)}
        tx = self.rpc("eth_sendTransaction", transaction)
        assert self._mined(tx)["status"] == "0x1", name

    def _mined(self, tx: str) -> dict:
        """Mining follows the answer by a moment: longer on a busy machine."""
        for _ in range(200):
            receipt = self.rpc("eth_getTransactionReceipt", tx)
            if receipt is not None:
                return receipt
            time.sleep(0.05)
        raise TimeoutError(tx)

    def mine(self, seconds: int = 0) -> None:
        if self.url:
            self.rpc("anvil_mine", hex(2), hex(max(1, seconds)))

    def emit(self, contract: str, name: str, **args: int | str) -> dict:
        return {"contract": contract, "name": name, "args": args}

    def _fund(self, holder: str, role: str, amount: int) -> None:
        self.send(holder, "currency", "mint", holder, amount)
        self.send(holder, "currency", "approve", getattr(self, role), amount)

    def deposit(self, payer: str, amount: int) -> None:
        super().deposit(payer, amount)
        self._fund(payer, "escrow", amount)
        self.send(payer, "escrow", "deposit", amount)

    def allot(self, payer: str, payee: str, amount: int) -> None:
        super().allot(payer, payee, amount)
        self.send(payer, "escrow", "allot", [payee], [amount])

    def set_operator(self, payee: str, operator: str) -> None:
        super().set_operator(payee, operator)
        self.send(payee, "escrow", "setOperator", operator)

    def bump(self, payee: str) -> None:
        super().bump(payee)
        self.send(payee, "escrow", "bumpGeneration", payee)

    def register(self, payee: str, endpoint: str, offer_hash: str, stake: int) -> None:
        endpoint = endpoint.replace("{archive}", self.archive)
        stake *= 100
        self._fund(payee, "registry", stake)
        self.send(payee, "registry", "register", endpoint, bytes.fromhex(offer_hash[2:]), stake)

    def request_thaw(self, payer: str, payee: str, amount: int) -> None:
        self.send(payer, "escrow", "requestThaw", [payee], [amount])

    def withdraw_from(self, payer: str, payee: str) -> None:
        self.send(payer, "escrow", "withdraw", [payee], payer)

    def collect(self, payee: str, amount: int = 0) -> None:
        assert amount == 0, "the contract collects all that is released"
        self.send(payee, "escrow", "collectEarnings", payee)

    def settle(self, claim: dict, ceiling: int) -> dict:
        voucher = claim["best"]["voucher"]
        item = {
            **{name: claim[name] for name in ("payer", "payee", "generation", "seq", "cumulative", "count")},
            "receiptsRoot": bytes.fromhex(claim["root"][2:]),
            "ceiling": int(voucher["ceiling"]),
            "context": bytes.fromhex(voucher["context"][2:]),
            "voucherSig": _compact(claim["best"]["voucherSignature"]),
            "claimSig": _compact(claim["claimSignature"]),
        }
        members = self.contracts["escrow"].inputs["claim"][0]["components"]
        self.send(claim["payee"], "escrow", "claim", [tuple(item[member["name"]] for member in members)])
        return super().settle(claim, ceiling)

    def challenge(self, challenger: str, settlement: dict, entry: dict) -> None:
        """The claim of a settlement against a receipt that says less."""
        members = self.contracts["escrow"].inputs["challengeOverclaim"]
        claim = _struct(members[0], settlement["claim"])
        receipt = _struct(members[2], entry["receipt"])
        signatures = _compact(settlement["claimSignature"]), _compact(entry["signature"])
        self.send(challenger, "escrow", "challengeOverclaim", claim, signatures[0], receipt, signatures[1])


def _struct(member: dict, wire: dict) -> tuple:
    return tuple(_value(each["type"], wire[each["name"]]) for each in member["components"])


def _value(kind: str, text: str | int) -> object:
    if kind == "bytes32":
        return bytes.fromhex(text[2:])
    return text if kind == "address" else int(text)


def _compact(signature: str) -> tuple[bytes, bytes]:
    raw = bytes.fromhex(signature[2:])
    with_parity = int.from_bytes(raw[32:64], "big") | (raw[64] - 27) << 255
    return raw[:32], with_parity.to_bytes(32, "big")


@contextlib.contextmanager
def running_anvil() -> Iterator[str]:
    """A fresh chain's RPC URL."""
    command = [str(ANVIL), "--port", "0", "--slots-in-an-epoch", "2", "--chain-id", "31337"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = next(each for each in process.stdout if "Listening on" in each)
            # Its log must be read away, or a full pipe would stop the chain.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            yield "http://" + line.split()[-1]
        finally:
            process.terminate()


def deploy(url: str, path: Path) -> dict:
    """The deployment file of fresh contracts."""
    command = [sys.executable, str(ROOT / "scripts" / "deploy.py"), "--rpc", url, "--dev-account", "0", "--yes"]
    done = subprocess.run([*command, "--out", str(path)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())
