"""Who sends a person's transactions: a keystore key, or an unlocked account of a development chain. One, then wait.

For commands, which can be run again. A node sends through its outbox (services/sender), which survives a crash.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from node.adapters.chain.evm import EvmChain
from node.adapters.chain.logs import unhex
from node.core.errors import BadConfig, CallReverted, ChainUnavailable, TxRefused
from node.core.fees import FeePolicy, cap_of, first_offer
from node.core.transactions import Call, TxFields, TxReceipt
from node.core.types import Address, Bytes32, Seconds
from node.deployment import DEVELOPMENT_CHAIN_ID
from node.ports.basics import Clock, Signer

POLL_SECONDS = 0.2
WAIT_SECONDS = 180.0
"""A transaction unmined for this long is reported as unknown, never as failed."""
GAS_MARGIN_NUMERATOR, GAS_MARGIN_DENOMINATOR = 5, 4
"""State may move between simulation and block."""


class Account(Protocol):
    """Somebody who can send a transaction."""

    @property
    def address(self) -> Address:
        """Who pays the gas."""

    async def send(self, call: Call, gas: int) -> Bytes32:
        """Sign and send; the transaction's hash. Raises TxRefused or ChainUnavailable."""


@dataclass(frozen=True, slots=True)
class KeyAccount:
    """A key in this process."""

    chain: EvmChain
    signer: Signer
    clock: Clock
    policy: FeePolicy = FeePolicy()

    @property
    def address(self) -> Address:
        """The key's address."""
        return self.signer.address

    async def send(self, call: Call, gas: int) -> Bytes32:
        """See Account."""
        fees = await self.chain.fetch_fees()
        now = Seconds(int(self.clock.now()))
        offer = first_offer(fees, self.policy, cap_of(self.policy, Seconds(0), now))
        nonce = await self.chain.fetch_nonce(self.address)
        fields = TxFields(nonce, gas, offer.max_fee, offer.tip, call)
        attempt = self.chain.sign_tx(fields, self.signer, now)
        await self.chain.send_raw(attempt.raw)
        return attempt.tx_hash


@dataclass(frozen=True, slots=True)
class UnlockedAccount:
    """Account number N of a development chain, whose key the chain itself holds."""

    chain: EvmChain
    address: Address

    async def send(self, call: Call, gas: int) -> Bytes32:
        """See Account."""
        tx = {"from": "0x" + self.address.hex(), "data": "0x" + call.data.hex(), "gas": hex(gas)}
        if call.to:
            tx["to"] = "0x" + call.to.hex()
        return Bytes32(unhex(await self.chain.request("eth_sendTransaction", tx)))


async def unlocked_account(chain: EvmChain, number: int) -> UnlockedAccount:
    """Raises BadConfig off chain 31337, or when the chain has no such account."""
    if chain.deployment.chain_id != DEVELOPMENT_CHAIN_ID:
        raise BadConfig(f"--dev-account is for chain {DEVELOPMENT_CHAIN_ID} alone: use --keystore FILE")
    accounts = await chain.request("eth_accounts")
    if not isinstance(accounts, list) or not 0 <= number < len(accounts):
        raise BadConfig(f"the development chain has no unlocked account {number}")
    return UnlockedAccount(chain, Address(unhex(accounts[number])))


async def send_and_wait(chain: EvmChain, account: Account, call: Call) -> TxReceipt:
    """Simulate, send, wait until mined. Raises CallReverted before anything is sent, TxRefused, ChainUnavailable."""
    simulation = await chain.simulate(call, account.address)
    gas = simulation.gas * GAS_MARGIN_NUMERATOR // GAS_MARGIN_DENOMINATOR
    try:
        tx_hash = await account.send(call, gas)
    except (TxRefused, CallReverted, ChainUnavailable) as exc:
        if "insufficient funds" in exc.message.lower():
            who = "0x" + account.address.hex()
            raise TxRefused(f"{who} has too little native coin for gas: send it some, then run this again") from exc
        raise
    receipt = await wait_mined(chain, tx_hash)
    if not receipt.is_success:
        raise CallReverted("the transaction was mined but reverted: the state had moved", tx="0x" + tx_hash.hex())
    return receipt


async def wait_mined(chain: EvmChain, tx_hash: Bytes32, seconds: float = WAIT_SECONDS) -> TxReceipt:
    """Raises ChainUnavailable when the outcome is still unknown after `seconds`.

    Returns once reads at the head see it, too: with two endpoints the head is the slower one's.
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                receipt = await chain.fetch_tx(tx_hash)
                if receipt is not None and (await chain.fetch_head()).number >= receipt.block_number:
                    return receipt
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError as exc:
        shown = "0x" + tx_hash.hex()
        message = f"transaction {shown} is not mined after {seconds:g} s; it may still be: look before you retry"
        raise ChainUnavailable(message, tx=shown) from exc
