"""`scripts/keys.py`: make keystore files and show their addresses. The only place that makes keys; shows none."""

from pathlib import Path
from typing import Annotated, Any

import typer

from node.adapters.keys.keystore import SCRYPT_COST, create_keystore, load_keystore, read_password
from node.cli.common import JsonOption, checksummed, run, screen

LIGHT_COST = 2**12
"""For throw-away keys of development chains: opens in milliseconds, and is as quickly guessed."""
EXAMPLES = """
\b
Examples:
  install -m 600 /dev/null operator.password && nano operator.password
  python scripts/keys.py new operator.json --password-file operator.password
  python scripts/keys.py show operator.json --password-file operator.password
"""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)

FileArgument = Annotated[Path, typer.Argument(help="The keystore file.")]
PasswordOption = Annotated[Path, typer.Option("--password-file", help="A file of mode 0600 with the password.")]


@app.command(epilog=EXAMPLES)
def new(
    keystore: FileArgument,
    password_file: PasswordOption,
    light: Annotated[bool, typer.Option("--light", help="Weak scrypt, for development keys alone.")] = False,
    json_out: JsonOption = False,
) -> None:
    """Make a new random key in a new keystore file."""

    async def command() -> dict[str, Any]:
        signer = create_keystore(keystore, read_password(password_file), LIGHT_COST if light else SCRYPT_COST)
        return _result(keystore, checksummed(signer.address), json_out=json_out)

    run(command, json_out=json_out)


@app.command(epilog=EXAMPLES)
def show(keystore: FileArgument, password_file: PasswordOption, json_out: JsonOption = False) -> None:
    """Open a keystore file and print its address: the proof that file and password belong together."""

    async def command() -> dict[str, Any]:
        signer = load_keystore(keystore, read_password(password_file))
        return _result(keystore, checksummed(signer.address), json_out=json_out)

    run(command, json_out=json_out)


def _result(keystore: Path, address: str, *, json_out: bool) -> dict[str, Any]:
    if not json_out:
        screen.print(f"{address}  {keystore}")
    return {"address": address, "keystore": str(keystore)}


def main() -> None:
    """Entry point."""
    app()
