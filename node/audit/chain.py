"""The chain up to one pinned block: headers and all logs of our contracts.

It judges only whether the RPC endpoints agree with themselves and each other. An endpoint may lag, lie or leave logs
out (threats I1 to I4), so logs are compared with the blooms and receipts of the blocks, and with a second endpoint.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from node.audit.crypto import ZERO32, hexed, keccak, octets_of
from node.audit.deployment import Deployment
from node.audit.errors import CannotAuditError, MalformedError
from node.audit.events import Log, parse_log, quantity_of
from node.audit.findings import Report
from node.audit.rpc import Rpc, RpcRefusedError

LOG_CHUNK_BLOCKS = 5_000
HEADER_CHUNK = 100
RECEIPTS_CHUNK = 10
"""Blocks whose receipts are asked for at once: on a busy chain a block's are a megabyte."""
BLOOM_LIMIT_BLOCKS = 20_000
"""Headers read for the bloom check unless asked for more: about a minute against a public RPC endpoint."""
BLOOM_BITS = 2048

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the audit needs of a block header."""

    number: int
    block_hash: bytes
    parent_hash: bytes
    at: int
    bloom: bytes


@dataclass(frozen=True, slots=True)
class PinnedBlock:
    """The block all answers are given for."""

    number: int
    block_hash: bytes
    at: int


def parse_header(document: object) -> Header:
    """A block of `eth_getBlockBy...`. Raises MalformedError."""
    if not isinstance(document, dict):
        raise MalformedError("the block is unknown to the RPC endpoint")
    return Header(
        number=quantity_of(document.get("number"), "number"),
        block_hash=octets_of(document.get("hash"), 32, "hash"),
        parent_hash=octets_of(document.get("parentHash"), 32, "parentHash"),
        at=quantity_of(document.get("timestamp"), "timestamp"),
        bloom=octets_of(document.get("logsBloom"), BLOOM_BITS // 8, "logsBloom"),
    )


def pin_block(rpc: Rpc, deployment: Deployment, block: str) -> PinnedBlock:
    """The block to audit at: a tag, number or hash. Raises CannotAuditError for a wrong chain or an unknown block."""
    _check_chain(rpc, deployment)
    by_hash = block.startswith("0x") and len(block) == 2 + 64
    method = "eth_getBlockByHash" if by_hash else "eth_getBlockByNumber"
    wanted = hex(int(block)) if block.isdigit() else block
    try:
        header = parse_header(rpc.call(method, wanted, False))
    except (RpcRefusedError, MalformedError) as exc:
        raise CannotAuditError(f"no block {block!r} at {rpc.url} ({exc}); try --block latest") from exc
    if header.number < deployment.deploy_block:
        raise CannotAuditError(
            f"block {header.number} is older than the deployment (block {deployment.deploy_block}); "
            "wait until it is finalised or use --block latest"
        )
    return PinnedBlock(header.number, header.block_hash, header.at)


def _check_chain(rpc: Rpc, deployment: Deployment) -> None:
    try:
        chain_id = quantity_of(rpc.call("eth_chainId"), "chain id")
        code = rpc.call("eth_getCode", hexed(deployment.escrow), "latest")
        deployed = parse_header(rpc.call("eth_getBlockByNumber", hex(deployment.deploy_block), False))
    except (RpcRefusedError, MalformedError) as exc:
        raise CannotAuditError(f"{rpc.url} does not know the deployment's block or chain: {exc}") from exc
    if chain_id != deployment.chain_id:
        raise CannotAuditError(f"{rpc.url} is chain {chain_id}, the deployment file says {deployment.chain_id}")
    if code in ("0x", None):
        raise CannotAuditError(f"no contract at the escrow address {hexed(deployment.escrow)} on chain {chain_id}")
    if deployment.block_hash not in (ZERO32, deployed.block_hash):
        raise CannotAuditError(
            "the deployment file is of another chain with the same id (its block hash is unknown here)"
        )


def _ranges(first: int, last: int, width: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last + 1, width):
        yield start, min(last, start + width - 1)


def fetch_logs(rpc: Rpc, deployment: Deployment, pinned: PinnedBlock, progress: Progress) -> list[Log]:
    """All logs of our contracts from the deployment to the pinned block, in order. Raises CannotAuditError."""
    logs: list[Log] = []
    first, last = deployment.deploy_block, pinned.number
    for start, end in _ranges(first, last, LOG_CHUNK_BLOCKS):
        logs += _logs_between(rpc, deployment, start, end)
        progress("reading logs", end - first + 1, last - first + 1)
    return sorted(logs, key=lambda log: log.place)


def _logs_between(rpc: Rpc, deployment: Deployment, start: int, end: int) -> list[Log]:
    """Halves the range when the endpoint refuses it as too large."""
    addresses = [hexed(address) for address in deployment.contracts]
    wanted = {"address": addresses, "fromBlock": hex(start), "toBlock": hex(end)}
    try:
        answer = rpc.call("eth_getLogs", wanted)
    except RpcRefusedError as exc:
        if start == end:
            raise CannotAuditError(f"{rpc.url} refuses the logs of block {start}: {exc}") from exc
        middle = (start + end) // 2
        return _logs_between(rpc, deployment, start, middle) + _logs_between(rpc, deployment, middle + 1, end)
    logs = parse_logs(answer, rpc.url)
    # A look-alike contract's events must never count (threat I4), whatever the filter did.
    return [log for log in logs if log.address in deployment.contracts]


def parse_logs(answer: object, url: str) -> list[Log]:
    """A list of logs. Raises CannotAuditError: without the logs there is no audit."""
    if not isinstance(answer, list):
        raise CannotAuditError(f"{url} gave no list of logs")
    try:
        return [parse_log(item) for item in answer]
    except MalformedError as exc:
        raise CannotAuditError(f"{url} gave a malformed log: {exc}") from exc


def fetch_headers(rpc: Rpc, numbers: Sequence[int], progress: Progress) -> dict[int, Header]:
    """Headers by block number. Raises CannotAuditError."""
    headers: dict[int, Header] = {}
    for start in range(0, len(numbers), HEADER_CHUNK):
        part = numbers[start : start + HEADER_CHUNK]
        try:
            answers = rpc.call_many([("eth_getBlockByNumber", [hex(number), False]) for number in part])
            headers |= {header.number: header for header in map(parse_header, answers)}
        except (RpcRefusedError, MalformedError) as exc:
            raise CannotAuditError(f"{rpc.url} does not give block headers: {exc}") from exc
        progress("reading blocks", start + len(part), len(numbers))
    return headers


def check_headers(logs: Sequence[Log], headers: dict[int, Header], report: Report) -> None:
    """Every log lies in the block that the chain has at that height, and every header follows its parent."""
    for log in logs:
        header = headers.get(log.block_number)
        if header is None or header.block_hash != log.block_hash:
            report.add(
                "AUD-002",
                "a log is of a block that is not in this chain",
                tx=hexed(log.tx_hash),
                block=log.block_number,
            )
    for number, header in headers.items():
        parent = headers.get(number - 1)
        if parent is not None and parent.block_hash != header.parent_hash:
            report.add("AUD-002", f"block {number} does not follow block {number - 1}", block=number)


def may_contain(bloom: bytes, address: bytes) -> bool:
    """Whether a block with this bloom may hold logs of `address` (yellow paper, section 4.3.1)."""
    digest = keccak(address)
    for place in (0, 2, 4):
        bit = int.from_bytes(digest[place : place + 2], "big") % BLOOM_BITS
        if not bloom[BLOOM_BITS // 8 - 1 - bit // 8] >> bit % 8 & 1:
            return False
    return True


def find_hidden_logs(
    rpc: Rpc, deployment: Deployment, logs: Sequence[Log], headers: dict[int, Header], report: Report
) -> list[Log]:
    """Logs that blocks contain and `eth_getLogs` left out: each is a finding, and is given back so that it counts."""
    known = {(log.block_hash, log.index) for log in logs}
    contracts = deployment.contracts
    suspects = [n for n, h in headers.items() if any(may_contain(h.bloom, address) for address in contracts)]
    hidden: list[Log] = []
    for start in range(0, len(suspects), RECEIPTS_CHUNK):
        for log in _logs_of_blocks(rpc, suspects[start : start + RECEIPTS_CHUNK], report):
            if log.address in contracts and (log.block_hash, log.index) not in known:
                report.add("AUD-002", "eth_getLogs left out a log", tx=hexed(log.tx_hash), block=log.block_number)
                hidden.append(log)
    return hidden


def _logs_of_blocks(rpc: Rpc, numbers: Sequence[int], report: Report) -> list[Log]:
    try:
        blocks = rpc.call_many([("eth_getBlockReceipts", [hex(number)]) for number in numbers])
    except RpcRefusedError as exc:
        note = f"{rpc.url} does not give block receipts ({exc}): logs were not compared with them"
        if note not in report.notes:
            report.notes.append(note)
        return []
    return [log for block in blocks for receipt in _rows(block) for log in parse_logs(receipt.get("logs"), rpc.url)]


def _rows(block: Any) -> list[dict[str, Any]]:  # noqa: ANN401 -- JSON
    return [row for row in block if isinstance(row, dict)] if isinstance(block, list) else []


def compare_logs(first: Sequence[Log], second: Sequence[Log], urls: tuple[str, str], report: Report) -> list[Log]:
    """Every log both or either endpoint gave; one finding for each that only one gave (threat I3)."""
    union = {(log.block_hash, log.index): log for log in (*second, *first)}
    for logs, absent in ((first, urls[1]), (second, urls[0])):
        others = {(log.block_hash, log.index, log.payload) for log in (second if logs is first else first)}
        for log in logs:
            if (log.block_hash, log.index, log.payload) not in others:
                report.add("AUD-001", f"{absent} does not give this log", tx=hexed(log.tx_hash), block=log.block_number)
    return sorted(union.values(), key=lambda log: log.place)
