"""The report: a Markdown page, an HTML page, the numbers behind each figure as JSON. Computes nothing."""

import html
import json
from collections.abc import Sequence
from pathlib import Path

from node.sim.experiments.base import Section, Table

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0;font-size:13px}
td,th{padding:.25em .6em;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child,td:nth-child(2),th:nth-child(2){text-align:left}
img{max-width:100%}figcaption{color:#666;font-size:13px}
"""


def write_report(sections: Sequence[Section], preface: str, out: Path) -> None:
    """README.md, report.html, data/*.json."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "README.md").write_text(_markdown(sections, preface))
    (out / "report.html").write_text(_html(sections, preface))
    numbers = out / "data"
    numbers.mkdir(exist_ok=True)
    for section in sections:
        if section.numbers:
            (numbers / f"{section.slug}.json").write_text(json.dumps(_rounded(section.numbers), indent=1) + "\n")


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
        parts.append(f"## {section.title}\n\n*Answers:* {section.answers}.\n\n{section.text}")
        parts.extend(_markdown_table(table) for table in section.tables)
        parts.extend(f"![{figure.caption}](figures/{figure.name})\n\n{figure.caption}\n" for figure in section.figures)
    return "\n".join(parts)


def _markdown_table(table: Table) -> str:
    lines = [f"| {' | '.join(table.heading)} |", f"|{'---|' * len(table.heading)}"]
    lines.extend(f"| {' | '.join(row)} |" for row in table.rows)
    return "\n".join(lines) + "\n"


def _html(sections: Sequence[Section], preface: str) -> str:
    parts = [f"<!doctype html><meta charset=utf-8><title>Simulation results</title><style>{STYLE}</style>"]
    parts.append("<h1>Simulation results</h1>" + _paragraphs(preface))
    for section in sections:
        parts.append(f"<h2 id={section.slug}>{html.escape(section.title)}</h2>")
        parts.append(f"<p><em>Answers: {html.escape(section.answers)}.</em></p>{_paragraphs(section.text)}")
        parts.extend(_html_table(table) for table in section.tables)
        for figure in section.figures:
            caption = html.escape(figure.caption)
            parts.append(
                f'<figure><img src="figures/{figure.name}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
            )
    return "\n".join(parts) + "\n"


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{html.escape(block.strip())}</p>" for block in text.split("\n\n") if block.strip())


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.heading)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f"<table><tr>{head}</tr>{rows}</table>"
