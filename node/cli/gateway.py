"""`scripts/gateway.py`: speak plain OpenAI to 127.0.0.1, and it pays providers behind it, within your budgets.

Any OpenAI client works: give it the printed base_url and API key. What it may spend: --exposure (at most this much to
one provider beyond what receipts proved), --per-request, --daily. A kill at any moment loses and repeats no payment.
"""

from pathlib import Path
from typing import Annotated

import typer

from node.cli import gatewaying
from node.cli.common import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    DeploymentOption,
    JsonOption,
    RpcOption,
    run,
)

EXAMPLES = """
Examples:

  python scripts/gateway.py --keystore me.json --password-file me.password --provider https://node.example

  python scripts/gateway.py --keystore me.json --password-file me.password --discover --daily "5 USDC"

  python scripts/gateway.py trust smollm2-135m 0xTOKENIZER_HASH 0xTEMPLATE_HASH

  python scripts/gateway.py status --wallet ~/.wwwserve/wallet.db
"""
HOME = Path.home() / ".wwwserve"

app = typer.Typer(add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)

KeystoresOption = Annotated[
    list[Path],
    typer.Option("--keystore", help="Keystore of your key; repeat it: each further key is a lane of its own."),
]
PasswordsOption = Annotated[
    list[Path], typer.Option("--password-file", help="Its password (mode 0600), in the same order.")
]
ProvidersOption = Annotated[
    list[str], typer.Option("--provider", help="A provider's URL; the first one is asked first.")
]
WalletOption = Annotated[Path, typer.Option("--wallet", help="The wallet file; made at the first start.")]
PinsOption = Annotated[Path, typer.Option("--pins", help="Your own list of trusted tokenizers and templates.")]
ApiKeyOption = Annotated[Path, typer.Option("--api-key-file", help="Where the gateway's own API key stands (0600).")]
PortOption = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")]
AmountOption = Annotated[str, typer.Option(help='Base units, or like "0.5 USDC".')]
TrustOption = Annotated[
    list[Path], typer.Option("--trust-tokenizer", help="Folder with tokenizer.json and chat_template.jinja to trust.")
]


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def start(
    context: typer.Context,
    keystore: KeystoresOption = [],  # noqa: B006 -- typer copies it
    password_file: PasswordsOption = [],  # noqa: B006 -- as above
    provider: ProvidersOption = [],  # noqa: B006 -- as above
    discover: Annotated[bool, typer.Option("--discover", help="Also ask the providers of the registry.")] = False,
    payer: Annotated[str, typer.Option(help="The paying address, if the first key is a further signer of it.")] = "",
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    port: PortOption = 8080,
    wallet: WalletOption = HOME / "wallet.db",
    pins: PinsOption = HOME / "pins.json",
    api_key_file: ApiKeyOption = HOME / "gateway.api-key",
    exposure: AmountOption = "",
    per_request: AmountOption = "",
    daily: AmountOption = "",
    trust_tokenizer: TrustOption = [],  # noqa: B006 -- as above
    allow_private: Annotated[bool, typer.Option("--allow-private", help="Providers on private addresses.")] = False,
    allow_origin: Annotated[list[str], typer.Option("--allow-origin", help="A web page that may call.")] = [],  # noqa: B006
    no_offload: Annotated[bool, typer.Option("--no-offload", help="Providers must serve themselves.")] = False,
    no_duel: Annotated[bool, typer.Option("--no-duel", help="Your requests may not be used in duels.")] = False,
    json_out: JsonOption = False,
) -> None:
    """Start the gateway; Ctrl-C stops it."""
    if context.invoked_subcommand is not None:
        return
    wish = gatewaying.Wish(
        keys=gatewaying.Keys(tuple(keystore), tuple(password_file), payer),
        places=gatewaying.Places(deployment, tuple(rpc), wallet, pins, api_key_file),
        amounts=gatewaying.Amounts(exposure, per_request, daily),
        providers=tuple(provider),
        trusted=tuple(trust_tokenizer),
        origins=frozenset(allow_origin),
        port=port,
        discovers=discover,
        allows_private=allow_private,
        flags=int(no_offload) | int(no_duel) << 1,
    )
    run(lambda: gatewaying.start(wish, json_out=json_out), json_out=False)


@app.command(epilog=EXAMPLES)
def trust(
    model: Annotated[str, typer.Argument(help='Model name, or "*" for any.')],
    tokenizer: Annotated[str, typer.Argument(help="keccak-256 of tokenizer.json.")],
    template: Annotated[str, typer.Argument(help="keccak-256 of the chat template.")],
    pins: PinsOption = HOME / "pins.json",
    json_out: JsonOption = False,
) -> None:
    """Add a tokenizer and template to your list: only with these are tokens counted, and only these are paid for."""
    run(lambda: gatewaying.trust(model, (tokenizer, template), pins), json_out=json_out)


@app.command(epilog=EXAMPLES)
def status(wallet: WalletOption = HOME / "wallet.db", json_out: JsonOption = False) -> None:
    """What the wallet holds: lanes, exposure, open requests, findings."""
    run(lambda: gatewaying.status(wallet, json_out=json_out), json_out=json_out)


@app.command(epilog=EXAMPLES)
def resume(
    payee: Annotated[str, typer.Argument(help="A payee that was stopped.")],
    wallet: WalletOption = HOME / "wallet.db",
    json_out: JsonOption = False,
) -> None:
    """Pay a payee again that was stopped; the findings stay on record."""
    run(lambda: gatewaying.resume(payee, wallet), json_out=json_out)


def main() -> None:
    """Entry point."""
    app()
