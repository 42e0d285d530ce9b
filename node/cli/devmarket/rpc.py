"""Plain JSON-RPC to the development chain: what the market's own steps and its report need, nothing more."""

from dataclasses import dataclass
from typing import Any

import httpx
from eth_abi.abi import decode, encode

from node.cli.devmarket.processes import NO_CERTIFICATES
from node.core.errors import ChainUnavailable
from node.core.hashing import keccak


@dataclass(frozen=True, slots=True)
class DevChain:
    """One JSON-RPC endpoint whose development accounts are unlocked."""

    url: str

    def call(self, method: str, *params: object) -> Any:  # noqa: ANN401 -- JSON
        """One request. Raises ChainUnavailable with the node's words."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            reply = httpx.post(self.url, json=body, timeout=10.0, trust_env=False, verify=NO_CERTIFICATES).json()
        except httpx.HTTPError as exc:
            raise ChainUnavailable(f"no answer from {self.url}: {exc}") from exc
        if "error" in reply:
            raise ChainUnavailable(f"{method}: {reply['error'].get('message')}")
        return reply["result"]

    def view(self, contract: str, signature: str, results: list[str], *arguments: object) -> tuple[Any, ...]:
        """Call a view function at the head, e.g. ("balanceOf(address)", ["uint256"], holder)."""
        types = signature[signature.index("(") + 1 : -1]
        data = keccak(signature.encode())[:4] + encode(types.split(",") if types else [], list(arguments))
        raw = self.call("eth_call", {"to": contract, "data": "0x" + data.hex()}, "latest")
        return decode(results, bytes.fromhex(raw[2:]))

    def accounts(self) -> list[str]:
        """The unlocked development accounts."""
        return list(self.call("eth_accounts"))

    def give_coin(self, address: str, wei: int) -> None:
        """Native coin for gas, out of nothing (development chains only)."""
        self.call("anvil_setBalance", address, hex(wei))

    def block_number(self, tag: str = "latest") -> int:
        """Number of the head, or of the finalised block."""
        return int(self.call("eth_getBlockByNumber", tag, False)["number"], 16)

    def transaction_receipt(self, tx_hash: str) -> dict[str, Any]:
        """The chain's own receipt of a transaction."""
        receipt: dict[str, Any] = self.call("eth_getTransactionReceipt", tx_hash)
        return receipt
