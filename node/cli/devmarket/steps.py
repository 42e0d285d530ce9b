"""One line a step, with its time; a spinner while it runs on a terminal. Only shows."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

MAX_SAID = 72


@dataclass(slots=True)
class Steps:
    """The progress of a market on a console."""

    console: Console

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        """Show `title` while the body runs; what the body passes to the yielded function is shown beside it."""
        started = time.monotonic()
        heard: list[str] = []
        with self.console.status(title) as status:

            def say(text: str) -> None:
                heard.append(text)
                status.update(f"{title}: {escape(_one_line(heard))}")

            yield say
        seconds = time.monotonic() - started
        self.console.print(f"[green]✓[/green] {title} [dim]{seconds:.1f} s[/dim]")
        if heard:
            self.console.print(f"    [cyan]{escape(_one_line(heard))}[/cyan]")


def _one_line(pieces: list[str]) -> str:
    text = " ".join("".join(pieces).split())
    return text if len(text) <= MAX_SAID else text[: MAX_SAID - 1] + "…"
