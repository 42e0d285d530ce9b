"""EIP-1559 transactions as bytes. The key stays behind `Signer`."""

import rlp  # type: ignore[import-untyped]

from node.core.hashing import keccak
from node.core.transactions import Attempt, TxFields
from node.core.types import Bytes32, Seconds
from node.ports.basics import Signer

TYPE = b"\x02"
V_OFFSET = 27


def sign_tx(fields: TxFields, chain_id: int, signer: Signer, now: Seconds) -> Attempt:
    """Sign a type 2 transaction without value and access list."""
    to = fields.call.to or b""  # empty: creates a contract
    body = [chain_id, fields.nonce, fields.tip, fields.max_fee, fields.gas, to, 0, fields.call.data, []]
    signature = signer.sign(keccak(TYPE + rlp.encode(body)))
    r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:64]))
    raw = TYPE + rlp.encode([*body, signature[64] - V_OFFSET, r, s])
    return Attempt(Bytes32(keccak(raw)), fields.nonce, fields.max_fee, fields.tip, raw, now)
