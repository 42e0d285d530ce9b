"""One command's connection: deployment, chain, the account that sends, and what it has sent so far."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from node.adapters.chain.abi import Interface, load_artifact
from node.adapters.chain.accounts import Account, KeyAccount, send_and_wait, unlocked_account
from node.adapters.chain.evm import EvmChain, connect
from node.adapters.chain.views import Views
from node.adapters.clock import SystemClock
from node.adapters.keys.keystore import load_keystore, read_password, read_password_fd
from node.adapters.keys.signer import LocalSigner
from node.cli.common import checksummed, native, notes, screen, table
from node.core.errors import BadConfig
from node.core.transactions import Call, TxReceipt
from node.core.types import Address
from node.deployment import Deployment, load_deployment


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """How the sending key was named on the command line."""

    keystore: Path | None
    password_file: Path | None
    password_fd: int | None
    dev_account: int | None


@dataclass(slots=True)
class Session:
    """An open connection and its log of transactions; `is_quiet` keeps stdout for JSON."""

    chain: EvmChain
    account: Account
    is_quiet: bool = False
    sent: list[tuple[str, TxReceipt]] = field(default_factory=list)
    currency: Interface = field(default_factory=lambda: Interface.of(load_artifact("DevCurrency")))

    @property
    def deployment(self) -> Deployment:
        """The contracts in use."""
        return self.chain.deployment

    async def views(self) -> Views:
        """Reads as of the head now."""
        return Views(self.chain, await self.chain.fetch_head())

    async def send(self, what: str, call: Call) -> TxReceipt:
        """Send one transaction, wait until it is mined, and say so."""
        receipt = await send_and_wait(self.chain, self.account, call)
        self.sent.append((what, receipt))
        if not self.is_quiet:
            notes.print(f"  [green]mined[/green] {what}: 0x{receipt.tx_hash.hex()}", soft_wrap=True)
        return receipt

    async def escrow(self, what: str, function: str, *args: object) -> TxReceipt:
        """Send a call of the escrow."""
        return await self.send(what, Call(self.deployment.escrow, self.chain.escrow.encode_call(function, *args)))

    async def registry(self, what: str, function: str, *args: object) -> TxReceipt:
        """Send a call of the registry."""
        return await self.send(what, Call(self.deployment.registry, self.chain.registry.encode_call(function, *args)))

    async def ensure_currency(self, amount: int, *, mints: bool) -> None:
        """The account holds `amount`; on a development chain the rest may be minted. Raises BadConfig."""
        balance = await (await self.views()).balance(self.account.address)
        if balance >= amount:
            return
        if not mints:
            short = f"{amount - balance} base units of {self.deployment.currency_symbol}"
            hint = " (or pass --mint-dev)" if self.deployment.is_development else ""
            raise BadConfig(f"{checksummed(self.account.address)} lacks {short}: send it some first{hint}")
        if not self.deployment.is_development:
            raise BadConfig("--mint-dev works on the development chain alone")
        data = self.currency.encode_call("mint", self.account.address, amount - balance)
        await self.send("mint development currency", Call(self.deployment.currency, data))

    async def ensure_allowance(self, spender: Address, amount: int, who: str) -> None:
        """`spender` may take exactly what the next step needs: an unlimited approval outlives its purpose."""
        if await (await self.views()).allowance(self.account.address, spender) >= amount:
            return
        data = self.currency.encode_call("approve", spender, amount)
        await self.send(f"approve the {who}", Call(self.deployment.currency, data))

    def sent_json(self) -> list[dict[str, Any]]:
        """The transactions of this command."""
        return [
            {
                "what": what,
                "hash": "0x" + receipt.tx_hash.hex(),
                "block": receipt.block_number,
                "gas_used": receipt.gas_used,
                "fee_wei": str(receipt.gas_used * receipt.gas_price),
            }
            for what, receipt in self.sent
        ]

    def show_sent(self) -> None:
        """A table of the transactions of this command."""
        if self.is_quiet or not self.sent:
            return
        made = table("Transactions", "what", "gas", "fee (native)")
        for what, receipt in self.sent:
            made.add_row(what, f"{receipt.gas_used:,}", native(receipt.gas_used * receipt.gas_price))
        screen.print(made)


def load_signer(keys: KeyOptions) -> LocalSigner:
    """The key of --keystore. Raises BadConfig."""
    if keys.keystore is None:
        raise BadConfig("name the sending key: --keystore FILE with --password-file FILE")
    if (keys.password_file is None) == (keys.password_fd is None):
        raise BadConfig("give the keystore's password with --password-file FILE or --password-fd N")
    if keys.password_file is not None:
        return load_keystore(keys.keystore, read_password(keys.password_file))
    return load_keystore(keys.keystore, read_password_fd(keys.password_fd or 0))


async def open_account(chain: EvmChain, keys: KeyOptions) -> Account:
    """The account that sends. Raises BadConfig."""
    if keys.dev_account is not None:
        if keys.keystore is not None:
            raise BadConfig("pass --keystore or --dev-account, not both")
        return await unlocked_account(chain, keys.dev_account)
    return KeyAccount(chain, load_signer(keys), SystemClock())


@asynccontextmanager
async def open_chain(deployment: Path, rpc: Sequence[str]) -> AsyncIterator[EvmChain]:
    """The chain of a deployment file, checked against it. Raises BadConfig, ChainUnavailable."""
    chain = connect(load_deployment(deployment), rpc, SystemClock().monotonic)
    try:
        await Views(chain, await chain.fetch_head()).check_set()
        yield chain
    finally:
        await chain.close()


@asynccontextmanager
async def open_session(
    deployment: Path,
    rpc: Sequence[str],
    keys: KeyOptions,
    *,
    is_quiet: bool,
) -> AsyncIterator[Session]:
    """Chain and account for a command that sends."""
    async with open_chain(deployment, rpc) as chain:
        yield Session(chain, await open_account(chain, keys), is_quiet)
