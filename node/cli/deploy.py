"""`scripts/deploy.py`: create one set of contracts on any EVM chain, prove that it is ours, write the deployment file.

Safe to re-run: a finished set is recognised, an interrupted one is continued. Never takes a raw key.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from node.adapters.chain.creating import DuelWindows, SetTimes
from node.cli.common import parse_address, run
from node.cli.deploying import Wishes, deploy_set
from node.cli.options import SENDING, Common, with_options
from node.core.types import Amount, Seconds

EXAMPLES = """
\b
Examples:
  python scripts/deploy.py --dev-account 0 --yes
  python scripts/deploy.py --rpc https://rpc.example --keystore owner.json --password-file owner.password \\
      --currency 0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913 --min-stake 100000000 --dry-run
"""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(help=__doc__, epilog=EXAMPLES)
@with_options({name: option for name, option in SENDING.items() if name != "deployment"})
def deploy(
    common: Common,
    out: Annotated[Path, typer.Option(help="Where to write the deployment file.")] = Path("deployment.json"),
    currency: Annotated[str | None, typer.Option(help="The ERC-20. Left out on chain 31337: DevCurrency.")] = None,
    min_stake: Annotated[int, typer.Option(min=1, help="Least stake of a provider, base units.")] = 100_000_000,
    thaw: Annotated[int, typer.Option(help="W: seconds until thawing money is back.")] = SetTimes().thaw,
    hold: Annotated[int, typer.Option(help="D: seconds earnings can be challenged.")] = SetTimes().hold,
    payout_delay: Annotated[int, typer.Option(help="Seconds before a new payout counts.")] = SetTimes().payout_delay,
    unbonding: Annotated[int, typer.Option(help="Seconds until stake can leave.")] = SetTimes().unbonding,
    dispute: Annotated[int, typer.Option(help="Seconds a duel's dispute may take.")] = SetTimes().dispute,
    appeal: Annotated[int, typer.Option(help="Seconds a duel's appeal may take.")] = SetTimes().appeal,
    duel_epoch: Annotated[int, typer.Option(help="Seconds a sampling seed counts.")] = DuelWindows().epoch,
    duel_commit: Annotated[int, typer.Option(help="Seconds judges have to commit a vote.")] = DuelWindows().commit,
    duel_reveal: Annotated[int, typer.Option(help="Seconds judges have to reveal it.")] = DuelWindows().reveal,
    duel_appeal: Annotated[int, typer.Option(help="Seconds a verdict can be appealed.")] = DuelWindows().appeal,
    draw_delay: Annotated[int, typer.Option(help="Blocks until the judges' draw.")] = DuelWindows().draw_delay,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show addresses and cost, send nothing.")] = False,
) -> None:
    """See the module."""

    async def command() -> dict[str, Any]:
        windows = (thaw, hold, payout_delay, unbonding, dispute, appeal)
        epoch, commit, reveal, last = (Seconds(each) for each in (duel_epoch, duel_commit, duel_reveal, duel_appeal))
        wishes = Wishes(
            out=out,
            currency=None if currency is None else parse_address(currency, "--currency"),
            min_stake=Amount(min_stake),
            times=SetTimes(*(Seconds(window) for window in windows)),
            windows=DuelWindows(epoch, commit, reveal, last, draw_delay),
            is_dry_run=dry_run,
            is_agreed=common.is_agreed,
            is_quiet=common.json_out,
        )
        return await deploy_set(wishes, common.rpc, common.keys)

    run(command, json_out=common.json_out)


def main() -> None:
    """Entry point."""
    app()
