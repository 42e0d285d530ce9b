"""What the gateway commands do: options to payer, wallet, chain and server. No rule of money here."""

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from node.adapters.clock import SystemClock
from node.adapters.keys import LocalSigner, load_keystore, read_password, recover
from node.adapters.tokens.counter import HfTokenCounter, load_counter
from node.cli.common import checksummed, notes, parse_address, parse_amount, screen, table
from node.client.books import Books
from node.client.carrier import World
from node.client.discovery import find_providers
from node.client.escrow import ChainReader, Rpc
from node.client.gateway.app import Gateway
from node.client.gateway.guard import Guard, load_api_key
from node.client.gateway.server import LOOPBACK, serve
from node.client.gateway.status import read_status
from node.client.over_aiohttp import AiohttpTransport
from node.client.payer import Payer, Tools
from node.client.pins import ANY_MODEL, SHIPPED, Pin, Pins, add_pin, load_pins
from node.client.settlements import SettledReader, watch_once
from node.client.store import Wallet, WalletWriter, open_engine
from node.client.wallet import Limits
from node.core.errors import BadConfig, BadVoucher
from node.core.types import Address, Amount, Bytes32, Seconds
from node.core.wire import bytes_of
from node.deployment import Deployment, load_deployment

DEFAULT_EXPOSURE, DEFAULT_PER_REQUEST, DEFAULT_DAILY = 1, 1, 10
"""Whole currency units: small enough to lose, large enough to work."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Which keys pay, and for whom."""

    keystores: Sequence[Path]
    password_files: Sequence[Path]
    payer: str


@dataclass(frozen=True, slots=True)
class Places:
    """Files and endpoints."""

    deployment: Path
    rpc: Sequence[str]
    wallet: Path
    pins: Path
    api_key_file: Path


@dataclass(frozen=True, slots=True)
class Amounts:
    """The owner's limits as typed; empty for the default."""

    exposure: str
    per_request: str
    daily: str


@dataclass(frozen=True, slots=True)
class Wish:
    """A gateway as the command line describes it."""

    keys: Keys
    places: Places
    amounts: Amounts
    providers: Sequence[str]
    trusted: Sequence[Path]
    origins: frozenset[str]
    port: int
    discovers: bool
    allows_private: bool
    flags: int


async def start(wish: Wish, *, json_out: bool) -> Mapping[str, Any]:
    """Build everything, then serve until stopped."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    deployment = load_deployment(wish.places.deployment)
    chain = ChainReader(deployment, Rpc(wish.places.rpc))
    await asyncio.to_thread(chain.check_chain)
    payer = _payer(wish, deployment)
    providers = await asyncio.to_thread(_providers, wish, chain)
    api_key = load_api_key(_made(wish.places.api_key_file))
    engine = open_engine(wish.places.wallet)
    world = World(WalletWriter(engine), chain, AiohttpTransport(guard=not wish.allows_private))
    gateway = Gateway(payer, world, Guard(api_key, wish.port, wish.origins), lambda: providers)
    watch = partial(
        watch_once, payer.address, SettledReader(chain, payer.tools.recover), chain, world.wallet, payer.tools.clock
    )
    try:
        await serve(gateway, watch, partial(_say, wish, payer, json_out=json_out))
    finally:
        chain.rpc.close()
    return {}


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _payer(wish: Wish, deployment: Deployment) -> Payer:
    signers = _signers(wish.keys)
    address = parse_address(wish.keys.payer, "--payer") if wish.keys.payer else signers[0].address
    tools = Tools(SystemClock(), secrets.token_bytes, recover, HfTokenCounter)
    pins = _pins(wish)
    limits = _limits(wish.amounts, deployment)
    return Payer(address, signers, deployment.domain, deployment.currency, limits, pins, tools, wish.flags)


def _signers(keys: Keys) -> tuple[LocalSigner, ...]:
    if not keys.keystores or len(keys.keystores) != len(keys.password_files):
        raise BadConfig(
            "name your key: --keystore FILE with --password-file FILE (one password file for each keystore)"
        )
    pairs = zip(keys.keystores, keys.password_files, strict=True)
    return tuple(load_keystore(keystore, read_password(password)) for keystore, password in pairs)


def _pins(wish: Wish) -> Pins:
    pins = dict(load_pins(SHIPPED, wish.places.pins))
    counters = [load_counter(folder) for folder in wish.trusted]
    named = frozenset(Pin(counter.tokenizer_hash, counter.template_hash) for counter in counters)
    return {**pins, ANY_MODEL: pins.get(ANY_MODEL, frozenset()) | named}


def _limits(amounts: Amounts, deployment: Deployment) -> Limits:
    unit = 10**deployment.currency_decimals

    def amount(text: str, default: int, what: str) -> Amount:
        return parse_amount(text, deployment, what) if text else Amount(default * unit)

    return Limits(
        exposure=amount(amounts.exposure, DEFAULT_EXPOSURE, "--exposure"),
        per_request=amount(amounts.per_request, DEFAULT_PER_REQUEST, "--per-request"),
        daily=amount(amounts.daily, DEFAULT_DAILY, "--daily"),
    )


def _providers(wish: Wish, chain: ChainReader) -> tuple[str, ...]:
    named = [url.rstrip("/") for url in wish.providers]
    found = find_providers(chain, allows_private=wish.allows_private) if wish.discovers else []
    urls = tuple(dict.fromkeys([*named, *found]))
    if not urls:
        raise BadConfig("no provider: give --provider URL, or --discover to read the registry")
    return urls


def _say(wish: Wish, payer: Payer, *, json_out: bool) -> None:
    base = f"http://{LOOPBACK}:{wish.port}/v1"
    key_file = wish.places.api_key_file
    if json_out:
        said = {"base_url": base, "api_key_file": str(key_file), "payer": checksummed(payer.address)}
        screen.print_json(data=said)
        return
    notes.print(f"gateway of {checksummed(payer.address)}: [bold]{base}[/bold]", soft_wrap=True)
    notes.print(f"API key: {key_file.read_text(encoding='utf-8').strip()}   (kept in {key_file})", soft_wrap=True)


async def trust(model: str, hashes: tuple[str, str], pins: Path) -> Mapping[str, Any]:
    """Add a pin."""
    try:
        tokenizer, template = (Bytes32(bytes_of(text, 32, "the hash")) for text in hashes)
    except BadVoucher as exc:
        raise BadConfig(exc.message) from exc
    add_pin(pins, model, Pin(tokenizer, template))
    notes.print(f"trusted for {model}; kept in {pins}")
    return {"model": model, "pins": str(pins)}


async def status(wallet: Path, *, json_out: bool) -> Mapping[str, Any]:
    """The wallet's status; a table for people."""
    nothing = Limits(Amount(0), Amount(0), Amount(0))
    read = partial(read_status, limits=nothing, now=Seconds(int(SystemClock().now())))
    said = _opened(wallet).run(read)
    del said["limits"], said["left_today"]  # settings of a running gateway, not of the wallet
    if not json_out:
        made = table("Lanes, base units", "payee", "ceiling", "verified", "exposed", "in flight", "stopped")
        for lane in said["lanes"]:
            made.add_row(
                *(str(lane[name] or "") for name in ("payee", "ceiling", "verified", "exposed", "in_flight", "stopped"))
            )
        screen.print(made)
        screen.print(f"open requests: {said['open_requests']}   spent today: {said['spent_today']}")
        for finding in said["findings"]:
            screen.print(f"finding {finding['code']} ({finding['payee']}): {finding['message']}")
    return said


async def resume(payee: str, wallet: Path) -> Mapping[str, Any]:
    """Pay a stopped payee again."""
    address: Address = parse_address(payee, "the payee")
    _opened(wallet).run(lambda books: Books.resume_payee(books, address))
    return {"payee": checksummed(address), "resumed": True}


def _opened(wallet: Path) -> Wallet:
    if not wallet.exists():
        raise BadConfig(f"there is no wallet at {wallet}")
    return Wallet(open_engine(wallet))
