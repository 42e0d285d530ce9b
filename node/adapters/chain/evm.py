"""`ports.Chain` over web3: one deployment on one EVM chain, behind RPC endpoints. Decides nothing about money."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from node.adapters.chain.abi import Interface, error_table, load_artifact, reverted
from node.adapters.chain.endpoint import EndpointDown, JsonValue, RpcError, endpoints_of
from node.adapters.chain.logs import LogReader, unhex
from node.adapters.chain.pool import EndpointStatus, Pool
from node.adapters.chain.reading import MALFORMED, QUORUM, Reading
from node.adapters.chain.txs import sign_tx
from node.core.errors import Broken, ChainUnavailable, TxRefused
from node.core.facts import Block, ChainEvent
from node.core.settlement import SignedClaim
from node.core.transactions import PAYING, Attempt, Call, ClaimPreview, Fees, Simulation, TxFields, TxReceipt
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
MOST_GAS = 30_000_000
"""No claim of 50 rows takes a tenth of it."""
ALREADY_KNOWN = ("already known", "already imported", "known transaction")
V_OFFSET = 27


class EvmChain:
    """One chain and the contracts of one deployment."""

    def __init__(self, deployment: Deployment, pool: Pool) -> None:
        self.deployment = deployment
        self.pool = pool
        names = ("Escrow", "Registry", "Duels")
        self.escrow, self.registry, self.duels = (Interface.of(load_artifact(name)) for name in names)
        currency = Interface.of(load_artifact("DevCurrency"))
        known = (currency, self.registry, self.escrow, self.duels)
        self.errors: Mapping[bytes, Mapping[str, object]] = error_table(known)
        contracts = {
            deployment.escrow: ("escrow", self.escrow),
            deployment.registry: ("registry", self.registry),
        }
        if deployment.duels is not None:
            contracts[deployment.duels] = ("duels", self.duels)
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
        counts = await self._counts(address, "latest")
        if len(set(counts)) > 1:  # too low is replaced by nobody knows what, too high would wait for ever
            raise ChainUnavailable(f"the RPC endpoints disagree about the next nonce: {sorted(set(counts))}")
        return counts[0]

    async def fetch_final_nonce(self, address: Address) -> int:
        """See ports.Chain."""
        return min(await self._counts(address, "finalized"))

    async def _counts(self, address: Address, tag: str) -> list[int]:
        """What each of two working endpoints (where there are two) says. Raises ChainUnavailable."""
        return [_int(said) for said in await self.voices("eth_getTransactionCount", "0x" + address.hex(), tag)]

    async def fetch_tx(self, tx_hash: Bytes32) -> TxReceipt | None:
        """See ports.Chain. Every working endpoint is asked: one that lags has not seen it yet."""
        for said in await self.pool.ask_usable("eth_getTransactionReceipt", "0x" + tx_hash.hex()):
            if said.result is not None:
                return _receipt_of(said.result)
        return None

    # --- calling
    async def simulate(self, call: Call, sender: Address) -> Simulation:
        """See ports.Chain. One endpoint's word makes nothing needless, and no gas limit absurd (threat I3)."""
        tx = _tx(call, sender)
        gas = min(max([_int(said) for said in await self.voices("eth_estimateGas", tx, "latest")]), MOST_GAS)
        selector = self.escrow.encode_call("claim", ())[:4]
        if call.to != self.deployment.escrow or call.data[:4] != selector:
            return Simulation(gas, is_useless=False)
        results = [_bytes(said) for said in await self.voices("eth_call", tx, "latest")]
        statuses = [status for raw in results for status in self.escrow.decode_result("claim", raw)[0]]
        return Simulation(gas, is_useless=not any(_status_name(status) in PAYING for status in statuses))

    async def call(self, call: Call, sender: Address | None = None, block: str = "latest") -> bytes:
        """`eth_call`. Raises CallReverted."""
        result = await self.request("eth_call", _tx(call, sender), block)
        return _bytes(result)

    async def agreed_call(self, call: Call) -> bytes:
        """`eth_call` of what must not rest on one endpoint's word. Raises ChainUnavailable while two differ."""
        said = {_bytes(one) for one in await self.voices("eth_call", _tx(call, None), "latest")}
        if len(said) > 1:
            raise ChainUnavailable("the RPC endpoints disagree about a call's result")
        return said.pop()

    async def request(self, method: str, *params: JsonValue) -> JsonValue:
        """One RPC call. Raises CallReverted when a contract says no, ChainUnavailable otherwise."""
        try:
            return await self.pool.call(method, *params)
        except RpcError as exc:
            if exc.is_revert:
                raise reverted(self.errors, exc.data, exc.message) from exc
            raise ChainUnavailable(f"the RPC endpoint refuses {method}: {exc.message}", call=method) from exc

    async def voices(self, method: str, *params: JsonValue) -> list[JsonValue]:
        """What each of two working endpoints (where there are two) answers; errors only when none has an answer.

        Raises as `request` does.
        """
        said = await self.pool.ask_usable(method, *params, limit=QUORUM)
        results = [one.result for one in said if one.error is None]
        error = said[0].error
        if results or error is None:
            return results
        if error.is_revert:
            raise reverted(self.errors, error.data, error.message)
        raise ChainUnavailable(f"the RPC endpoint refuses {method}: {error.message}", call=method)

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
        said = await self.voices("eth_call", _tx(Call(self.deployment.escrow, data), None), "latest")
        voices = [self._previews(_bytes(one), len(claims)) for one in said]
        return [_best_preview(row) for row in zip(*voices, strict=True)]

    def _previews(self, raw: bytes, count: int) -> list[ClaimPreview]:
        try:
            statuses, _, paid = self.escrow.decode_result("previewClaim", raw)
        except Broken as exc:
            raise ChainUnavailable("an RPC endpoint's preview is not what the escrow returns") from exc
        if (len(statuses), len(paid)) != (count, count):
            raise ChainUnavailable("an RPC endpoint's preview is not of these claims")
        return [ClaimPreview(_status_name(s), Amount(amount)) for s, amount in zip(statuses, paid, strict=True)]


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


def _best_preview(voices: Sequence[ClaimPreview]) -> ClaimPreview:
    """One endpoint's word that a claim pays nothing stops no claim (threat I3): a try costs gas, waiting a thaw.

    What would be paid is the lowest that is said.
    """
    paying = [voice for voice in voices if voice.is_paying]
    return min(paying, key=lambda voice: voice.paid) if paying else voices[0]


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
