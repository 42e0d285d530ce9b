"""`ports.Chain` over web3: one deployment on one EVM chain, behind RPC endpoints. Decides nothing about money."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from node.adapters.chain.abi import Interface, error_table, load_artifact, reverted
from node.adapters.chain.endpoint import EndpointDown, JsonValue, RpcError, endpoints_of
from node.adapters.chain.logs import LogReader, unhex
from node.adapters.chain.pool import EndpointStatus, Pool
from node.adapters.chain.reading import MALFORMED, Reading
from node.adapters.chain.txs import sign_tx
from node.core.errors import ChainUnavailable, TxRefused
from node.core.facts import Block, ChainEvent
from node.core.settlement import SignedClaim
from node.core.transactions import Attempt, Call, ClaimPreview, Fees, Simulation, TxFields, TxReceipt
from node.core.types import Address, Amount, Bytes32, Seconds, Signature
from node.deployment import Deployment
from node.ports.basics import Signer

DEADLINE_SECONDS = 10.0
"""No call to an endpoint may take longer; fail-over begins then."""
STATUS_NAMES = (
    "Paid",
    "PaidPart",
    "NothingNew",
    "NoCover",
    "UnknownGeneration",
    "GenerationClosed",
    "GenerationOlder",
    "SeqInFuture",
    "AboveCeiling",
    "AboveCap",
    "UnknownSigner",
    "SignerRevoked",
    "BadClaimSignature",
)
"""The escrow's `enum Status`, in its order."""
PAYING = frozenset({"Paid", "PaidPart"})
ALREADY_KNOWN = ("already known", "already imported", "known transaction")
V_OFFSET = 27


class EvmChain:
    """One chain and the contracts of one deployment."""

    def __init__(self, deployment: Deployment, pool: Pool) -> None:
        self.deployment = deployment
        self.pool = pool
        self.escrow, self.registry = (Interface.of(load_artifact(name)) for name in ("Escrow", "Registry"))
        currency = Interface.of(load_artifact("DevCurrency"))
        self.errors: Mapping[bytes, Mapping[str, object]] = error_table((currency, self.registry, self.escrow))
        contracts = {
            deployment.escrow: ("escrow", self.escrow),
            deployment.registry: ("registry", self.registry),
        }
        self._reading = Reading(self.pool, LogReader(contracts), tuple(contracts))

    def status(self) -> tuple[EndpointStatus, ...]:
        """Endpoints as `/readyz` shows them."""
        return self.pool.status()

    async def close(self) -> None:
        """Give all sockets back."""
        await self.pool.close()

    # --- reading
    async def fetch_head(self) -> Block:
        """See ports.Chain."""
        return await self._reading.fetch_head()

    async def fetch_finalised(self) -> Block:
        """See ports.Chain."""
        return await self._reading.fetch_finalised()

    async def fetch_block(self, number: int) -> Block:
        """See ports.Chain."""
        return await self._reading.fetch_block(number)

    async def fetch_events(self, block: Block) -> Sequence[ChainEvent]:
        """See ports.Chain."""
        return await self._reading.fetch_events(block)

    async def fetch_final_events(self, first: int, last: int) -> Sequence[ChainEvent]:
        """See ports.Chain."""
        return await self._reading.fetch_final_events(first, last)

    async def fetch_fees(self) -> Fees:
        """See ports.Chain."""
        header, tip = await asyncio.gather(
            self.request("eth_getBlockByNumber", "latest", False),
            self.request("eth_maxPriorityFeePerGas"),
        )
        return Fees(base_fee=_int(_member(header, "baseFeePerGas")), tip=_int(tip))

    async def fetch_nonce(self, address: Address) -> int:
        """See ports.Chain."""
        return _int(await self.request("eth_getTransactionCount", "0x" + address.hex(), "latest"))

    async def fetch_final_nonce(self, address: Address) -> int:
        """See ports.Chain."""
        return _int(await self.request("eth_getTransactionCount", "0x" + address.hex(), "finalized"))

    async def fetch_tx(self, tx_hash: Bytes32) -> TxReceipt | None:
        """See ports.Chain. Every working endpoint is asked: one that lags has not seen it yet."""
        for said in await self.pool.ask_usable("eth_getTransactionReceipt", "0x" + tx_hash.hex()):
            if said.result is not None:
                return _receipt_of(said.result)
        return None

    # --- calling
    async def simulate(self, call: Call, sender: Address) -> Simulation:
        """See ports.Chain."""
        gas = _int(await self.request("eth_estimateGas", _tx(call, sender), "latest"))
        selector = self.escrow.encode_call("claim", ())[:4]
        if call.to != self.deployment.escrow or call.data[:4] != selector:
            return Simulation(gas, is_useless=False)
        raw = await self.call(call, sender)
        statuses = self.escrow.decode_result("claim", raw)[0]
        return Simulation(gas, is_useless=not any(_status_name(status) in PAYING for status in statuses))

    async def call(self, call: Call, sender: Address | None = None, block: str = "latest") -> bytes:
        """`eth_call`. Raises CallReverted."""
        result = await self.request("eth_call", _tx(call, sender), block)
        return _bytes(result)

    async def request(self, method: str, *params: JsonValue) -> JsonValue:
        """One RPC call. Raises CallReverted when a contract says no, ChainUnavailable otherwise."""
        try:
            return await self.pool.call(method, *params)
        except RpcError as exc:
            if exc.is_revert:
                raise reverted(self.errors, exc.data, exc.message) from exc
            raise ChainUnavailable(f"the RPC endpoint refuses {method}: {exc.message}", call=method) from exc

    # --- sending
    def sign_tx(self, fields: TxFields, signer: Signer, now: Seconds) -> Attempt:
        """See ports.Chain."""
        return sign_tx(fields, self.deployment.chain_id, signer, now)

    async def send_raw(self, raw: bytes) -> None:
        """See ports.Chain."""
        answers = await self.pool.ask_usable("eth_sendRawTransaction", "0x" + raw.hex())
        refusals = [said.error.message for said in answers if said.error is not None]
        is_known = any(word in reason.lower() for reason in refusals for word in ALREADY_KNOWN)
        if len(refusals) < len(answers) or is_known:
            return
        raise TxRefused(f"the RPC endpoint refuses the transaction: {refusals[0]}", reason=refusals[0])

    # --- claims
    def claim_call(self, claims: Sequence[SignedClaim]) -> Call:
        """See ports.Chain."""
        return Call(self.deployment.escrow, self.escrow.encode_call("claim", [_item(row) for row in claims]))

    async def preview_claims(self, claims: Sequence[SignedClaim]) -> Sequence[ClaimPreview]:
        """See ports.Chain."""
        data = self.escrow.encode_call("previewClaim", [_item(row) for row in claims])
        raw = await self.call(Call(self.deployment.escrow, data))
        statuses, _, paid = self.escrow.decode_result("previewClaim", raw)
        return [
            ClaimPreview(_status_name(status), Amount(amount)) for status, amount in zip(statuses, paid, strict=True)
        ]


def connect(
    deployment: Deployment,
    urls: Sequence[str],
    monotonic: Callable[[], float],
    deadline_seconds: float = DEADLINE_SECONDS,
) -> EvmChain:
    """The chain behind these RPC URLs. Nothing is asked yet; chain ids are checked with the first call."""
    return EvmChain(deployment, Pool(endpoints_of(urls, deadline_seconds), deployment.chain_id, monotonic))


async def discover_chain_id(urls: Sequence[str], deadline_seconds: float = DEADLINE_SECONDS) -> int:
    """Which chain the first answering endpoint is on, for a command that has no deployment file yet."""
    reason = ""
    for endpoint in endpoints_of(urls, deadline_seconds):
        try:
            return _int(await endpoint.call("eth_chainId"))
        except (EndpointDown, RpcError) as exc:
            reason = f"{endpoint.name} {exc}"
        finally:
            await endpoint.close()
    raise ChainUnavailable(f"the chain is unreachable: {reason}")


def _item(row: SignedClaim) -> dict[str, object]:
    claim, voucher = row.claim, row.voucher
    return {
        "payer": claim.payer,
        "payee": claim.payee,
        "generation": claim.generation,
        "ceiling": voucher.ceiling,
        "context": voucher.context,
        "seq": claim.seq,
        "cumulative": claim.cumulative,
        "count": claim.count,
        "receiptsRoot": claim.receipts_root,
        "voucherSig": compact(row.voucher_signature),
        "claimSig": compact(row.signature),
    }


def compact(signature: Signature) -> dict[str, bytes]:
    """ERC-2098: the recovery bit rides in the top bit of s (free, since s is low)."""
    s = int.from_bytes(signature[32:64], "big") | (signature[64] - V_OFFSET) << 255
    return {"r": signature[:32], "vs": s.to_bytes(32, "big")}


def _status_name(status: int) -> str:
    return STATUS_NAMES[status] if status < len(STATUS_NAMES) else f"Status{status}"


def _tx(call: Call, sender: Address | None) -> dict[str, str]:
    tx = {"data": "0x" + call.data.hex()}
    if call.to:
        tx["to"] = "0x" + call.to.hex()
    if sender is not None:
        tx["from"] = "0x" + sender.hex()
    return tx


def _receipt_of(raw: JsonValue) -> TxReceipt:
    try:
        return TxReceipt(
            tx_hash=Bytes32(unhex(raw["transactionHash"])),
            block_number=int(raw["blockNumber"], 16),
            block_hash=Bytes32(unhex(raw["blockHash"])),
            gas_used=int(raw["gasUsed"], 16),
            gas_price=int(raw["effectiveGasPrice"], 16),
            is_success=int(raw["status"], 16) == 1,
        )
    except MALFORMED as exc:
        raise ChainUnavailable("an RPC endpoint returned a malformed transaction receipt") from exc


def _int(result: JsonValue) -> int:
    try:
        return int(result, 16)
    except (ValueError, TypeError) as exc:
        raise ChainUnavailable("an RPC endpoint answered something else than a number") from exc


def _bytes(result: JsonValue) -> bytes:
    try:
        return unhex(result)
    except ValueError as exc:
        raise ChainUnavailable("an RPC endpoint answered something else than bytes") from exc


def _member(result: JsonValue, name: str) -> JsonValue:
    if not isinstance(result, Mapping) or name not in result:
        raise ChainUnavailable(f"an RPC endpoint's block has no {name}: the chain must know EIP-1559")
    return result[name]
