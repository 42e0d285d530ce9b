"""`scripts/prepay.py`: put money into the escrow, allot it to providers, take it back alone. Run with your payer key.

What is allotted can be claimed only against ceilings that your keys sign; what is not comes back after the thaw.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli import prepaying
from node.cli.challenging import Sources
from node.cli.challenging import challenge as challenging_steps
from node.cli.common import parse_address, run
from node.cli.options import READING, SENDING, Common, with_options
from node.cli.session import KeyOptions, Session, load_signer, open_chain, open_session
from node.core.errors import BadConfig

EXAMPLES = """
\b
Examples:
  python scripts/prepay.py deposit --amount "10 USDC" --allot "0xPROVIDER=10 USDC" \\
      --keystore me.json --password-file me.password
  python scripts/prepay.py status 0xYOU
  python scripts/prepay.py thaw 0xPROVIDER --keystore me.json --password-file me.password
  python scripts/prepay.py withdraw --keystore me.json --password-file me.password
  python scripts/prepay.py challenge --wallet ~/.wwwserve/wallet.db --keystore me.json --password-file me.password
"""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)

AmountOption = Annotated[str, typer.Option(help='Base units, or like "10 DEV"; 0: allot what is free already.')]
AllotOption = Annotated[list[str], typer.Option("--allot", help="PAYEE=AMOUNT; repeat for several payees.")]
MintOption = Annotated[bool, typer.Option("--mint-dev", help="Mint missing currency (chain id 31337 alone).")]
AnyPayeeOption = Annotated[bool, typer.Option("--any-payee", help="Allot to an address without an operator key.")]
PayeesArgument = Annotated[list[str], typer.Argument(help="PAYEE for all of it, or PAYEE=AMOUNT.")]
SignerArgument = Annotated[str, typer.Argument(help="The further signer's address.")]
CapOption = Annotated[str, typer.Option(help="The most that may ever be claimed through it, per provider.")]
SignerKeystoreOption = Annotated[Path, typer.Option(help="The signer's keystore: it must consent by signing.")]
SignerPasswordOption = Annotated[Path, typer.Option(help="Its password file.")]


@app.command(epilog=EXAMPLES)
@with_options(SENDING)
def deposit(
    common: Common,
    amount: AmountOption,
    allot: AllotOption = [],  # noqa: B006 -- typer copies it
    mint_dev: MintOption = False,
    any_payee: AnyPayeeOption = False,
) -> None:
    """Deposit and allot in one command; shows every balance afterwards."""

    async def act(session: Session) -> None:
        wishes = prepaying.deposit_wishes(session, amount, allot, mints=mint_dev, takes_any_payee=any_payee)
        await prepaying.deposit(session, wishes, is_agreed=common.is_agreed)

    _send(common, act)


@app.command(epilog=EXAMPLES)
@with_options(SENDING)
def thaw(common: Common, payees: PayeesArgument) -> None:
    """Ask for allotted money back; it is yours after the thaw, whatever the provider does. AMOUNT 0 stops a thaw."""

    async def act(session: Session) -> None:
        await prepaying.thaw(session, payees, is_agreed=common.is_agreed)

    _send(common, act)


@app.command(epilog=EXAMPLES)
@with_options(SENDING)
def withdraw(
    common: Common,
    to: Annotated[str, typer.Option(help="The receiver; left out: yourself.")] = "",
) -> None:
    """Finish every ripe thaw and pay out everything that is free."""

    async def act(session: Session) -> None:
        receiver = parse_address(to, "--to") if to else session.account.address
        await prepaying.withdraw(session, receiver, is_agreed=common.is_agreed)

    _send(common, act)


@app.command(epilog=EXAMPLES)
@with_options(READING)
def status(common: Common, payer: Annotated[str, typer.Argument(help="A payer's address.")]) -> None:
    """A payer's money: wallet, free, and every pair. Needs no key."""

    async def command() -> dict[str, Any]:
        address = parse_address(payer, "the payer")
        async with open_chain(common.deployment, common.rpc) as chain:
            return await prepaying.show_status(chain, address, is_quiet=common.json_out)

    run(command, json_out=common.json_out)


@app.command(epilog=EXAMPLES)
@with_options(SENDING)
def challenge(
    common: Common,
    wallet: Annotated[Path | None, typer.Option(help="The gateway's wallet file.")] = None,
    evidence: Annotated[Path | None, typer.Option(help="A contradiction as JSON, instead or as well.")] = None,
) -> None:
    """Find what providers claimed beyond their own receipts, and take it back."""

    async def command() -> dict[str, Any]:
        if wallet is None and evidence is None:
            raise BadConfig("name the gateway's --wallet, or a file with --evidence")
        sources = Sources(wallet, evidence)
        async with open_session(common.deployment, common.rpc, common.keys, is_quiet=common.json_out) as session:
            return await challenging_steps(session, common.rpc, sources, is_agreed=common.is_agreed)

    run(command, json_out=common.json_out)


@app.command("authorize-signer", epilog=EXAMPLES)
@with_options(SENDING)
def authorize_signer(
    common: Common,
    cap: CapOption,
    signer_keystore: SignerKeystoreOption,
    signer_password_file: SignerPasswordOption,
) -> None:
    """Let a further key sign vouchers for you, up to a cap; it can never sign for anybody else."""

    async def act(session: Session) -> None:
        signer = load_signer(KeyOptions(signer_keystore, signer_password_file, None, None))
        await prepaying.authorize(session, signer, cap, is_agreed=common.is_agreed)

    _send(common, act)


@app.command("thaw-signer", epilog=EXAMPLES)
@with_options(SENDING)
def thaw_signer(common: Common, signer: SignerArgument) -> None:
    """Begin the end of a further signer (a leaked key, say). Cannot be undone."""
    _send(common, lambda session: prepaying.end_signer(session, signer, "thawSigner", is_agreed=common.is_agreed))


@app.command("revoke-signer", epilog=EXAMPLES)
@with_options(SENDING)
def revoke_signer(common: Common, signer: SignerArgument) -> None:
    """End a thawed signer for good: none of its vouchers can be claimed any more."""
    _send(common, lambda session: prepaying.end_signer(session, signer, "revokeSigner", is_agreed=common.is_agreed))


def _send(common: Common, act: prepaying.Act) -> None:
    async def command() -> dict[str, Any]:
        async with open_session(common.deployment, common.rpc, common.keys, is_quiet=common.json_out) as session:
            await act(session)
            session.show_sent()
            status = await prepaying.show_status(session.chain, session.account.address, is_quiet=common.json_out)
            return {**status, "transactions": session.sent_json()}

    run(command, json_out=common.json_out)


def main() -> None:
    """Entry point."""
    app()
