"""`scripts/register.py`: become a provider, change what you sell, leave with your stake. Run with your owner key.

The owner key stakes and earns; the operator key, which signs receipts, is only named here and stays with the node.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli import registering
from node.cli.common import JsonOption, parse_address, run
from node.cli.offering import OfferWishes, write_offer
from node.cli.options import READING, SENDING, Common, with_options
from node.cli.session import open_chain, open_session
from node.offer_file import read_offer

EXAMPLES = """
\b
Examples:
  python scripts/register.py offer --payee 0xYOU --model Qwen/Qwen2.5-0.5B-Instruct --tokenizer ./tokenizer \\
      --price-prompt 200000 --price-completion 600000 --context-length 32768 --max-completion 4096
  python scripts/register.py register --operator 0xOPERATOR --endpoint https://llm.example --offer offer.json \\
      --stake 1000000000 --keystore owner.json --password-file owner.password
  python scripts/register.py status 0xYOU
  python scripts/register.py leave --keystore owner.json --password-file owner.password
"""

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)

OfferOption = Annotated[Path, typer.Option("--offer", help="The offer document that `offer` wrote.")]
PrivateOption = Annotated[bool, typer.Option("--allow-private", help="Take http:// and private hosts (development).")]
MintOption = Annotated[bool, typer.Option("--mint-dev", help="Mint missing currency (chain id 31337 alone).")]


@app.command(epilog=EXAMPLES)
def offer(
    payee: Annotated[str, typer.Option(help="Your provider address.")],
    model: Annotated[str, typer.Option(help="The model's name, as clients ask for it.")],
    tokenizer: Annotated[Path, typer.Option(help="Folder with tokenizer.json and chat_template.jinja.")],
    price_prompt: Annotated[int, typer.Option(min=0, help="Base units per million prompt tokens.")],
    price_completion: Annotated[int, typer.Option(min=0, help="Base units per million completion tokens.")],
    context_length: Annotated[int, typer.Option(min=1, max=2**32 - 1, help="Prompt and completion tokens together.")],
    max_completion: Annotated[int, typer.Option(min=1, max=2**32 - 1, help="Completion tokens of one answer.")],
    minimum_budget: Annotated[int, typer.Option(min=0, help="Least allotment you serve, base units.")] = 0,
    valid_days: Annotated[int, typer.Option(min=1, max=3650, help="How long the offer is good.")] = 365,
    out: Annotated[Path, typer.Option(help="Where to write it.")] = Path("offer.json"),
    add: Annotated[bool, typer.Option("--add", help="Add the model to the offer that --out holds.")] = False,
    json_out: JsonOption = False,
) -> None:
    """Write an offer document: one model, its prices and limits. Nothing is sent."""

    async def command() -> dict[str, Any]:
        wishes = OfferWishes(
            payee=parse_address(payee, "--payee"),
            name=model,
            tokenizer=tokenizer,
            price_prompt=price_prompt,
            price_completion=price_completion,
            context_length=context_length,
            max_completion=max_completion,
            minimum_budget=minimum_budget,
            valid_days=valid_days,
        )
        return write_offer(out, wishes, adds=add, is_quiet=json_out)

    run(command, json_out=json_out)


@app.command(epilog=EXAMPLES)
@with_options(SENDING)
def register(
    common: Common,
    operator: Annotated[str, typer.Option(help="Address of the node's operator key.")],
    endpoint: Annotated[str, typer.Option(help="The node's public URL.")],
    offer_file: OfferOption,
    stake: Annotated[str, typer.Option(help='Base units, or like "1000 DEV".')],
    mint_dev: MintOption = False,
    allow_private: PrivateOption = False,
) -> None:
    """Stake, list the endpoint and offer, name the operator key. Run again, it sends only what is missing."""

    async def command() -> dict[str, Any]:
        async with open_session(common.deployment, common.rpc, common.keys, is_quiet=common.json_out) as session:
            wishes = registering.RegisterWishes(
                operator=parse_address(operator, "--operator"),
                endpoint=registering.checked_endpoint(endpoint, allows_private=allow_private),
                offer=read_offer(offer_file),
                stake=registering.stake_of(stake, session),
                mints=mint_dev,
                is_agreed=common.is_agreed,
            )
            return await registering.register(session, wishes)

    run(command, json_out=common.json_out)


@app.command(epilog=EXAMPLES)
@with_options(READING)
def status(common: Common, provider: Annotated[str, typer.Argument(help="A provider's address.")]) -> None:
    """What the chain says of a provider: listing, stake, keys, earnings. Needs no key."""

    async def command() -> dict[str, Any]:
        address = parse_address(provider, "the provider")
        async with open_chain(common.deployment, common.rpc) as chain:
            return await registering.show_status(chain, address, is_quiet=common.json_out)

    run(command, json_out=common.json_out)


def _add(step: registering.Step) -> None:
    """One changing command: one optional value, one step."""

    @with_options(SENDING)
    def command(
        common: Common,
        value: Annotated[str, typer.Argument(help=step.value_help)] = "",
        mint_dev: MintOption = False,
        allow_private: PrivateOption = False,
    ) -> None:
        async def change() -> dict[str, Any]:
            async with open_session(common.deployment, common.rpc, common.keys, is_quiet=common.json_out) as session:
                asked = registering.Asked(
                    value,
                    mints=mint_dev,
                    allows_private=allow_private,
                    is_agreed=common.is_agreed,
                )
                return await registering.change(session, step, asked)

        run(change, json_out=common.json_out)

    app.command(step.name, help=step.summary, epilog=EXAMPLES)(command)


for _step in registering.STEPS:
    _add(_step)


def main() -> None:
    """Entry point."""
    app()
