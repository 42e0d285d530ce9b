"""`scripts/prepay.py`: put money into the escrow, allot it to providers, take it back alone. Run with your payer key.

What is allotted can be claimed only against ceilings that your keys sign; what is not comes back after the thaw.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli import prepaying
from node.cli.common import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    DeploymentOption,
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
from node.cli.session import KeyOptions, Session, load_signer, open_chain, open_session

EXAMPLES = """
Examples:

  python scripts/prepay.py deposit --amount "10 USDC" --allot "0xPROVIDER=10 USDC"
      --keystore me.json --password-file me.password

  python scripts/prepay.py status 0xYOU

  python scripts/prepay.py thaw 0xPROVIDER --keystore me.json --password-file me.password

  python scripts/prepay.py withdraw --keystore me.json --password-file me.password
"""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)

AllotOption = Annotated[list[str], typer.Option("--allot", help="PAYEE=AMOUNT; repeat for several payees.")]
MintOption = Annotated[bool, typer.Option("--mint-dev", help="Mint missing currency (chain id 31337 alone).")]
AnyPayeeOption = Annotated[bool, typer.Option("--any-payee", help="Allot to an address without an operator key.")]
PayeesArgument = Annotated[list[str], typer.Argument(help="PAYEE for all of it, or PAYEE=AMOUNT.")]
SignerArgument = Annotated[str, typer.Argument(help="The further signer's address.")]


@app.command(epilog=EXAMPLES)
def deposit(
    amount: Annotated[str, typer.Option(help='Base units, or like "10 DEV"; 0: allot what is free already.')],
    allot: AllotOption = [],  # noqa: B006 -- typer copies it
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    keystore: KeystoreOption = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    dev_account: DevAccountOption = None,
    mint_dev: MintOption = False,
    any_payee: AnyPayeeOption = False,
    yes: YesOption = False,
    json_out: JsonOption = False,
) -> None:
    """Deposit and allot in one command; shows every balance afterwards."""

    async def act(session: Session) -> None:
        wishes = prepaying.deposit_wishes(session, amount, allot, mints=mint_dev, takes_any_payee=any_payee)
        await prepaying.deposit(session, wishes, is_agreed=yes)

    keys = KeyOptions(keystore, password_file, password_fd, dev_account)
    _sending(prepaying.Place(deployment, tuple(rpc), keys), act, json_out=json_out)


@app.command(epilog=EXAMPLES)
def thaw(
    payees: PayeesArgument,
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    keystore: KeystoreOption = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    dev_account: DevAccountOption = None,
    yes: YesOption = False,
    json_out: JsonOption = False,
) -> None:
    """Ask for allotted money back; it is yours after the thaw, whatever the provider does. AMOUNT 0 stops a thaw."""

    async def act(session: Session) -> None:
        await prepaying.thaw(session, payees, is_agreed=yes)

    keys = KeyOptions(keystore, password_file, password_fd, dev_account)
    _sending(prepaying.Place(deployment, tuple(rpc), keys), act, json_out=json_out)


@app.command(epilog=EXAMPLES)
def withdraw(
    to: Annotated[str, typer.Option(help="The receiver; left out: yourself.")] = "",
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    keystore: KeystoreOption = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    dev_account: DevAccountOption = None,
    yes: YesOption = False,
    json_out: JsonOption = False,
) -> None:
    """Finish every ripe thaw and pay out everything that is free."""

    async def act(session: Session) -> None:
        receiver = parse_address(to, "--to") if to else session.account.address
        await prepaying.withdraw(session, receiver, is_agreed=yes)

    keys = KeyOptions(keystore, password_file, password_fd, dev_account)
    _sending(prepaying.Place(deployment, tuple(rpc), keys), act, json_out=json_out)


@app.command(epilog=EXAMPLES)
def status(
    payer: Annotated[str, typer.Argument(help="A payer's address.")],
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    json_out: JsonOption = False,
) -> None:
    """A payer's money: wallet, free, and every pair. Needs no key."""

    async def command() -> dict[str, Any]:
        async with open_chain(deployment, rpc) as chain:
            return await prepaying.show_status(chain, parse_address(payer, "the payer"), is_quiet=json_out)

    run(command, json_out=json_out)


@app.command("authorize-signer", epilog=EXAMPLES)
def authorize_signer(
    cap: Annotated[str, typer.Option(help="The most that may ever be claimed through it, per provider.")],
    signer_keystore: Annotated[Path, typer.Option(help="The signer's keystore: it must consent by signing.")],
    signer_password_file: Annotated[Path, typer.Option(help="Its password file.")],
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    keystore: KeystoreOption = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    dev_account: DevAccountOption = None,
    yes: YesOption = False,
    json_out: JsonOption = False,
) -> None:
    """Let a further key sign vouchers for you, up to a cap; it can never sign for anybody else."""

    async def act(session: Session) -> None:
        signer = load_signer(KeyOptions(signer_keystore, signer_password_file, None, None))
        await prepaying.authorize(session, signer, cap, is_agreed=yes)

    keys = KeyOptions(keystore, password_file, password_fd, dev_account)
    _sending(prepaying.Place(deployment, tuple(rpc), keys), act, json_out=json_out)


@app.command("thaw-signer", epilog=EXAMPLES)
def thaw_signer(
    signer: SignerArgument,
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    keystore: KeystoreOption = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    dev_account: DevAccountOption = None,
    yes: YesOption = False,
    json_out: JsonOption = False,
) -> None:
    """Begin the end of a further signer (a leaked key, say). Cannot be undone."""

    async def act(session: Session) -> None:
        await prepaying.end_signer(session, signer, "thawSigner", is_agreed=yes)

    keys = KeyOptions(keystore, password_file, password_fd, dev_account)
    _sending(prepaying.Place(deployment, tuple(rpc), keys), act, json_out=json_out)


@app.command("revoke-signer", epilog=EXAMPLES)
def revoke_signer(
    signer: SignerArgument,
    deployment: DeploymentOption = DEFAULT_DEPLOYMENT,
    rpc: RpcOption = DEFAULT_RPC,
    keystore: KeystoreOption = None,
    password_file: PasswordFileOption = None,
    password_fd: PasswordFdOption = None,
    dev_account: DevAccountOption = None,
    yes: YesOption = False,
    json_out: JsonOption = False,
) -> None:
    """End a thawed signer for good: none of its vouchers can be claimed any more."""

    async def act(session: Session) -> None:
        await prepaying.end_signer(session, signer, "revokeSigner", is_agreed=yes)

    keys = KeyOptions(keystore, password_file, password_fd, dev_account)
    _sending(prepaying.Place(deployment, tuple(rpc), keys), act, json_out=json_out)


def _sending(place: prepaying.Place, act: prepaying.Act, *, json_out: bool) -> None:
    async def command() -> dict[str, Any]:
        async with open_session(place.deployment, place.rpc, place.keys, is_quiet=json_out) as session:
            await act(session)
            session.show_sent()
            status = await prepaying.show_status(session.chain, session.account.address, is_quiet=json_out)
            return {**status, "transactions": session.sent_json()}

    run(command, json_out=json_out)


def main() -> None:
    """Entry point."""
    app()
