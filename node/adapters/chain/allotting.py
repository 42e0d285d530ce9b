"""The payer's one transaction of a node that offloads: free deposit to pairs. Builds calls and reads; never sends."""

from collections.abc import Sequence

from node.adapters.chain.evm import EvmChain
from node.adapters.chain.views import Views
from node.core.transactions import Call
from node.core.types import Address, Amount


def allot_call(chain: EvmChain, rows: Sequence[tuple[Address, Amount]]) -> Call:
    """`Escrow.allot` for all of them at once."""
    payees, amounts = [payee for payee, _ in rows], [int(amount) for _, amount in rows]
    return Call(chain.deployment.escrow, chain.escrow.encode_call("allot", payees, amounts))


async def read_free(chain: EvmChain, payer: Address) -> Amount:
    """Deposited and not allotted, at the head."""
    return await Views(chain, await chain.fetch_head()).free(payer)
