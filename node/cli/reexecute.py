"""`scripts/reexecute.py`: is the model you pay for the model that answers? What you bought is run again and compared.

Answers come from your gateway (--bought, which pays for them) or from a file of earlier ones (--saved); each is run
again, with its seed, on an engine that you trust to be the named model. A finding convinces you, nobody else: providers
sign their text, not their log-probabilities.
"""

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from node.adapters.engine.client import EngineSettings, HttpEngine
from node.cli.common import EXIT_NO, JsonOption, run, screen, table
from node.client.gateway.guard import load_api_key
from node.core.errors import BadConfig
from node.core.judging.substitution import TOLERANCES, Likeness, found
from node.services.reexecution import Bought, Rerun, Wish, buy_all, requests_for, rerun

HOME = Path.home() / ".wwwserve"
MOST_SHOWN = 40
EXAMPLES = """
\b
Examples:
  python scripts/reexecute.py --bought http://127.0.0.1:8080 --model smollm2-135m --questions questions.txt \\
      --provider 0xPROVIDER --reference http://127.0.0.1:8001 --save bought.jsonl
  python scripts/reexecute.py --saved bought.jsonl --reference http://127.0.0.1:8001 --tolerance loose --json
"""

app = typer.Typer(add_completion=False, help=__doc__, epilog=EXAMPLES, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Source:
    """Where answers come from: a gateway and what to ask it, or a file."""

    gateway: str
    api_key_file: Path
    questions: Path | None
    saved: Path | None
    save: Path | None


@app.command(epilog=EXAMPLES)
def reexecute(
    reference: Annotated[str, typer.Option(help="Base URL (without /v1) of an engine with the model that you trust.")],
    bought: Annotated[str, typer.Option(help="Base URL (without /v1) of your gateway: it pays.")] = "",
    saved: Annotated[Path | None, typer.Option(help="Answers bought before: what --save wrote.")] = None,
    model: Annotated[str, typer.Option(help="The model to ask for.")] = "",
    questions: Annotated[
        Path | None, typer.Option(help="Your questions, one a line; nobody else should know them.")
    ] = None,
    provider: Annotated[str, typer.Option(help="Buy from this provider only.")] = "",
    answers: Annotated[int, typer.Option(min=1, help="How many to buy.")] = 10,
    tokens: Annotated[int, typer.Option(min=1, help="LLM tokens of an answer.")] = 48,
    tolerance: Annotated[str, typer.Option(help="exact: float32 on one kind of CPU; loose: anything else.")] = "exact",
    reference_model: Annotated[str, typer.Option(help="The model's name at the reference, if it is another.")] = "",
    api_key_file: Annotated[Path, typer.Option(help="The gateway's API key.")] = HOME / "gateway.api-key",
    save: Annotated[Path | None, typer.Option(help="Keep what was bought, as JSON lines.")] = None,
    json_out: JsonOption = False,
) -> None:
    """Run bought answers again and compare them. Exit code 1: the answers are another model's."""
    source = Source(bought, api_key_file, questions, saved, save)
    wish = Wish(model, (), answers, tokens, provider)
    results: list[dict[str, Any]] = []

    async def command() -> Mapping[str, Any]:
        if tolerance not in TOLERANCES:
            raise BadConfig(f"--tolerance is {' or '.join(TOLERANCES)}, not {tolerance}")
        engine = HttpEngine(EngineSettings(reference))
        try:
            rows = []
            async for one in _bought(source, wish):
                name = reference_model or str(one.request.get("model"))
                rows.append(await rerun(engine, name, one, TOLERANCES[tolerance]))
        finally:
            engine.close()
        results.append(report(rows, tolerance))
        if not json_out:
            _show(rows, results[0])
        return results[0]

    run(command, json_out=json_out)
    if results[0]["verdict"] == Likeness.DIFFERENT:
        raise typer.Exit(EXIT_NO)


async def _bought(source: Source, wish: Wish) -> AsyncIterator[Bought]:
    """From the file, or from the gateway, kept as they come. Raises BadConfig or EngineFailed."""
    if bool(source.gateway) == (source.saved is not None):
        raise BadConfig("name either --bought, your gateway, or --saved, a file of answers")
    if source.saved is not None:
        for one in read_saved(source.saved):
            yield one
        return
    if not wish.model or source.questions is None:
        raise BadConfig("--bought needs --model and --questions")
    if not source.api_key_file.is_file():
        raise BadConfig(f"there is no API key at {source.api_key_file}: name the gateway's with --api-key-file")
    wish = Wish(wish.model, _lines(source.questions), wish.answers, wish.tokens, wish.provider)
    gateway = HttpEngine(EngineSettings(source.gateway, api_key=load_api_key(source.api_key_file)))
    try:
        async for one in buy_all(gateway, requests_for(wish, os.urandom)):
            if source.save is not None:
                with source.save.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"request": one.request, "answer": one.answer}) + "\n")
            yield one
    finally:
        gateway.close()


def _lines(file: Path) -> Sequence[str]:
    """Raises BadConfig."""
    try:
        found_lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as exc:
        raise BadConfig(f"cannot read {file}: {exc.strerror}") from exc
    if not found_lines:
        raise BadConfig(f"{file} is empty")
    return found_lines


def read_saved(file: Path) -> Sequence[Bought]:
    """Raises BadConfig naming the line."""
    made = []
    for number, line in enumerate(_lines(file), 1):
        try:
            row = json.loads(line)
            made.append(Bought(dict(row["request"]), row["answer"]))
        except (ValueError, TypeError, KeyError) as exc:
            raise BadConfig(f"{file}, line {number}: not an object with request and answer") from exc
    return made


def report(rows: Sequence[Rerun], tolerance: str) -> dict[str, Any]:
    """What the comparison came to, for machines."""
    likenesses = [row.comparison.likeness for row in rows]
    return {
        "verdict": found(likenesses),
        "answers": len(rows),
        **{one.value: likenesses.count(one) for one in Likeness},
        "tolerance": tolerance,
        "rows": [_row(row) for row in rows],
    }


def _row(row: Rerun) -> dict[str, Any]:
    one = row.comparison
    return {
        "question": row.question,
        "answer": row.answer,
        "likeness": one.likeness,
        "tokens_compared": one.compared,
        "same_text": one.is_same_text,
        "mean": one.mean,
        "largest": one.most,
    }


def _show(rows: Sequence[Rerun], said: Mapping[str, Any]) -> None:
    made = table("Answers run again", "answer", "likeness", "same text", "tokens", "mean distance", "largest")
    for row in rows:
        one = row.comparison
        shown = " ".join(row.answer.split()).replace("[", r"\[")[:MOST_SHOWN]
        numbers = (str(one.compared), f"{one.mean:.2g}", f"{one.most:.2g}")
        made.add_row(shown, one.likeness, "yes" if one.is_same_text else "no", *numbers)
    screen.print(made)
    counts = ", ".join(f"{said[one.value]} {one.value}" for one in Likeness)
    screen.print(f"{said['verdict']}: {counts} (1 % of honest providers found different, 5 % of others found same)")


def main() -> None:
    """Entry point."""
    app()
