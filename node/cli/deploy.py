"""`scripts/deploy.py`: create one set of contracts on any EVM chain, prove that it is ours, write the deployment file.

Safe to re-run: a finished set is recognised, an interrupted one is continued. Never takes a raw key.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from node.adapters.chain.creating import SetTimes
from node.cli.common import (
    DEFAULT_RPC,
    DevAccountOption,
    JsonOption,
    KeystoreOption,
    PasswordFdOption,
    PasswordFileOption,
    RpcOption,
    YesOption,
    parse_address,
    run,
)
from node.cli.deploying import Wishes, deploy_set
from node.cli.session import KeyOptions
from node.core.types import Amount, Seconds

EXAMPLES = """
Examples:

  python scripts/deploy.py --dev-account 0 --yes

  python scripts/deploy.py --rpc https://rpc.example --keystore owner.json --password-file owner.password
      --currency 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913 --min-stake 100000000 --dry-run
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=__doc__, epilog=EXAMPLES)
def deploy(  # one parameter an option
    rpc: RpcOption = DEFAULT_RPC,
    out: Annotated[Path, typer.Option(help="Where to write the deployment file.")] = Path("deployment.json"),
    keystore: KeystoreOption = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    dev_account: DevAccountOption = None,
    currency: Annotated[str | None, typer.Option(help="The ERC-20. Left out on chain 31337: DevCurrency.")] = None,
    min_stake: Annotated[int, typer.Option(min=1, help="Least stake of a provider, base units.")] = 100_000_000,
    thaw: Annotated[int, typer.Option(help="W: seconds until thawing money is back.")] = SetTimes().thaw,
    hold: Annotated[int, typer.Option(help="D: seconds earnings can be challenged.")] = SetTimes().hold,
    payout_delay: Annotated[int, typer.Option(help="Seconds before a new payout counts.")] = SetTimes().payout_delay,
    unbonding: Annotated[int, typer.Option(help="Seconds until stake can leave.")] = SetTimes().unbonding,
    dispute: Annotated[int, typer.Option(help="Seconds a duel's dispute may take.")] = SetTimes().dispute,
    appeal: Annotated[int, typer.Option(help="Seconds a duel's appeal may take.")] = SetTimes().appeal,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show addresses and cost, send nothing.")] = False,
    yes: YesOption = False,
    json_out: JsonOption = False,
) -> None:
    """See the module."""

    async def command() -> dict[str, Any]:
        windows = (thaw, hold, payout_delay, unbonding, dispute, appeal)
        wishes = Wishes(
            out=out,
            currency=None if currency is None else parse_address(currency, "--currency"),
            min_stake=Amount(min_stake),
            times=SetTimes(*(Seconds(window) for window in windows)),
            is_dry_run=dry_run,
            is_agreed=yes,
            is_quiet=json_out,
        )
        return await deploy_set(wishes, rpc, KeyOptions(keystore, password_file, password_fd, dev_account))

    run(command, json_out=json_out)


def main() -> None:
    """Entry point."""
    app()
