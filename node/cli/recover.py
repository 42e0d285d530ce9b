"""`scripts/recover.py`: after a restored or lost database. `check` shows what is ahead of the books, `bump` heals.

A node whose books are older than the receipts it gave out signs nothing more, because it would contradict itself.
`bump` opens a new generation on chain; each client's lane then goes on from its last receipt at its next request.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli import recovering
from node.cli.common import parse_address, run
from node.cli.options import READING, SENDING, Common, with_options
from node.cli.session import open_chain, open_session

EXAMPLES = """
\b
Examples:
  python scripts/recover.py check --payee 0xYOU --database sqlite:///wwwserve.db --operator-keystore operator.json
  python scripts/recover.py bump --payee 0xYOU --database sqlite:///wwwserve.db --operator-keystore operator.json \\
      --keystore operator.json --password-file operator.password
"""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)

PayeeOption = Annotated[str, typer.Option("--payee", help="Your provider address.")]
DatabaseOption = Annotated[str, typer.Option("--database", help="The node's database URL.")]
OperatorOption = Annotated[
    Path, typer.Option("--operator-keystore", help="The node's keystore: the high-water file lies beside it.")
]


@app.command(epilog=EXAMPLES)
@with_options(READING)
def check(common: Common, payee: PayeeOption, database: DatabaseOption, operator_keystore: OperatorOption) -> None:
    """What is ahead of the books, and which lanes wait for their clients. Sends nothing; exit 1 when a bump is due."""

    async def command() -> dict[str, Any]:
        address = parse_address(payee, "--payee")
        async with (
            open_chain(common.deployment, common.rpc) as chain,
            recovering.opened(chain, address, database, operator_keystore) as case,
        ):
            return await recovering.check(case, is_quiet=common.json_out)

    run(command, json_out=common.json_out)


@app.command(epilog=EXAMPLES)
@with_options(SENDING)
def bump(common: Common, payee: PayeeOption, database: DatabaseOption, operator_keystore: OperatorOption) -> None:
    """Open a new generation and wait until it is final. Sent by the operator key (once an hour) or the owner's."""

    async def command() -> dict[str, Any]:
        address = parse_address(payee, "--payee")
        async with (
            open_session(common.deployment, common.rpc, common.keys, is_quiet=common.json_out) as session,
            recovering.opened(session.chain, address, database, operator_keystore) as case,
        ):
            return await recovering.bump(case, session, is_agreed=common.is_agreed)

    run(command, json_out=common.json_out)


def main() -> None:
    """Entry point."""
    app()
