"""The report: a Markdown page, one HTML file with its pictures inside, the numbers as JSON and CSV. Computes nothing.

Each section is kept in `sections/`, so that an experiment can be run again alone: the pages are put together from all
that are there.
"""

import base64
import csv
import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from node.sim.experiments.base import Figure, Section, Table

STYLE = """
body{font:15px/1.55 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}
nav{columns:2;font-size:14px;margin:1em 0}nav a{display:block;color:#0a5}
table{border-collapse:collapse;margin:1em 0;font-size:13px;display:block;overflow-x:auto}
td,th{padding:.25em .6em;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
th{background:#f6f6f6;white-space:normal}
.words td,.words th{text-align:left;white-space:normal}
td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}
h2{border-top:1px solid #ddd;padding-top:1em;margin-top:2em}
img{max-width:100%}figure{margin:1em 0}figcaption{color:#666;font-size:13px}
"""


MARKS = (
    (re.compile(r"\[([^]]+)\]\(([^)]+)\)"), r"<a href='\2'>\1</a>"),
    (re.compile(r"\*\*(.+?)\*\*", re.DOTALL), r"<b>\1</b>"),
    (re.compile(r"\*(.+?)\*", re.DOTALL), r"<em>\1</em>"),
)
"""What Markdown our texts use inside a paragraph."""


def write_report(sections: Sequence[Section], preface: str, out: Path, order: Sequence[str] = ()) -> None:
    """README.md, report.html, data/*.json, data/*.csv; sections of earlier runs stay in the pages, in `order`."""
    kept, numbers = out / "sections", out / "data"
    kept.mkdir(parents=True, exist_ok=True)
    numbers.mkdir(exist_ok=True)
    for section in sections:
        _write_numbers(section, numbers)
        plain = {key: value for key, value in asdict(section).items() if key != "numbers"}
        (kept / f"{section.slug}.json").write_text(json.dumps(plain, indent=1) + "\n")
    known = [*order, *(section.slug for section in sections)]
    slugs = [slug for slug in dict.fromkeys(known) if (kept / f"{slug}.json").exists()]
    shown = [_section(json.loads((kept / f"{slug}.json").read_text())) for slug in slugs]
    (out / "README.md").write_text(_markdown(shown, preface))
    (out / "report.html").write_text(_html(shown, preface, out))


def _write_numbers(section: Section, folder: Path) -> None:
    if section.numbers:
        body = json.dumps(_rounded(section.numbers), separators=(",", ":"))
        (folder / f"{section.slug}.json").write_text(body + "\n")
    for index, table in enumerate(section.tables, start=1):
        with (folder / f"{section.slug}-{index}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([table.heading, *table.rows])


def _section(plain: dict[str, Any]) -> Section:
    tables = tuple(Table(tuple(t["heading"]), tuple(map(tuple, t["rows"]))) for t in plain.pop("tables"))
    figures = tuple(Figure(**figure) for figure in plain.pop("figures"))
    return Section(**plain, tables=tables, figures=figures)


def _rounded(thing: object) -> object:
    """Six significant digits: enough for any use, and small files."""
    if isinstance(thing, float):
        return float(f"{thing:.6g}")
    if isinstance(thing, dict):
        return {key: _rounded(inner) for key, inner in thing.items()}
    if isinstance(thing, list | tuple):
        return [_rounded(inner) for inner in thing]
    return thing


def _markdown(sections: Sequence[Section], preface: str) -> str:
    parts = ["# Simulation results\n", preface]
    for section in sections:
        parts.append(f"## {section.title}\n\n*Answers:* {section.answers}.\n\n{section.text}\n{_made(section)}\n")
        figures = (f"![{figure.caption}](figures/{figure.name})\n\n{figure.caption}\n" for figure in section.figures)
        parts.extend(_pictures_second([_markdown_table(table) for table in section.tables], figures))
    return "\n".join(parts)


def _pictures_second(tables: Sequence[str], figures: Iterable[str]) -> list[str]:
    """The first table says what was found; pictures come before the long tables behind it."""
    return [*tables[:1], *figures, *tables[1:]]


def _made(section: Section) -> str:
    """Where the figures of a section come from."""
    seeds = {0: "no seeds needed", 1: "seed 1"}.get(section.seeds, f"seeds 1-{section.seeds}")
    return f"*Made with* {seeds}; {section.made}." if section.made else ""


def _markdown_table(table: Table) -> str:
    lines = [f"| {' | '.join(table.heading)} |", f"|{'---|' * len(table.heading)}"]
    lines.extend(f"| {' | '.join(row)} |" for row in table.rows)
    return "\n".join(lines) + "\n"


def _html(sections: Sequence[Section], preface: str, out: Path) -> str:
    parts = [f"<!doctype html><meta charset=utf-8><title>Simulation results</title><style>{STYLE}</style>"]
    parts.append("<h1>Simulation results</h1>" + _blocks(preface))
    parts.append("<nav>" + "".join(f"<a href='#{s.slug}'>{html.escape(s.title)}</a>" for s in sections) + "</nav>")
    for section in sections:
        parts.append(f"<h2 id={section.slug}>{html.escape(section.title)}</h2>")
        parts.append(f"<p><em>Answers: {_text(section.answers)}.</em></p>{_blocks(section.text)}")
        parts.append(_blocks(_made(section)))
        figures = (_html_figure(figure, out) for figure in section.figures)
        parts.extend(_pictures_second([_html_table(table) for table in section.tables], figures))
    return "\n".join(parts) + "\n"


def _html_figure(figure: Figure, out: Path) -> str:
    """The picture itself, so that the page is one file that can be sent."""
    caption = html.escape(figure.caption)
    picture = base64.b64encode((out / "figures" / figure.name).read_bytes()).decode()
    image = f'<img src="data:image/png;base64,{picture}" alt="{caption}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _text(words: str) -> str:
    """Escaped, with `code`, *emphasis*, **weight** and [links](to)."""
    pieces = html.escape(words, quote=False).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else _marked(piece) for index, piece in enumerate(pieces))


def _marked(words: str) -> str:
    for mark, told in MARKS:
        words = mark.sub(told, words)
    return words


def _blocks(text: str) -> str:
    blocks = [block.strip() for block in text.split("\n\n") if block.strip()]
    return "".join(_rows(block) if block.startswith("|") else f"<p>{_text(block)}</p>" for block in blocks)


def _rows(block: str) -> str:
    """A Markdown table of the preface."""
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in block.splitlines()]
    return f"<div class=words>{_html_table(Table(cells[0], tuple(cells[2:])))}</div>"


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in table.heading)
    rows = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f"<table><tr>{head}</tr>{rows}</table>"
