"""Drawing. The only module that imports matplotlib (extra `sim`); it computes nothing but what a picture needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt  # the backend has to be chosen first
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

COLOURS = {
    "single": "#7f7f7f",
    "central": "#e69f00",
    "central-oracle": "#000000",
    "central-social": "#666666",
    "random": "#cc79a7",
    "power-of-two": "#56b4e9",
    "paper": "#d55e00",
    "adaptive": "#009e73",
}
DASHED = {"central-oracle", "central-social"}
DPI = 110
STYLES = ("-", "--", "-.", ":")
"""For lines that are no system: told apart without colours too."""
MARKED_BELOW = 12
"""A line of so few points shows them."""

Line = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Labels:
    """What stands around a plot."""

    title: str
    x: str
    y: str


def draw_lines(axes: Axes, lines: Mapping[str, Line], labels: Labels) -> None:
    """One line a name, in the system's colour when it is a system."""
    for place, (name, (xs, ys)) in enumerate(lines.items()):
        plain = ("--" if name in DASHED else "-") if name in COLOURS else STYLES[place % len(STYLES)]
        marker = "o" if len(xs) < MARKED_BELOW else None
        axes.plot(xs, ys, plain, label=name, color=COLOURS.get(name), linewidth=1.6, marker=marker, markersize=4)
    dress(axes, labels)


def draw_bars(axes: Axes, bars: Mapping[str, tuple[float, float]], labels: Labels) -> None:
    """One bar a name: (height, half-width of the interval)."""
    names = list(bars)
    colours = [COLOURS.get(name, "#4477aa") for name in names]
    axes.bar(names, [bars[name][0] for name in names], yerr=[bars[name][1] for name in names], color=colours, capsize=3)
    dress(axes, labels)
    axes.grid(visible=False, axis="x")
    axes.set_axisbelow(True)
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")


def dress(axes: Axes, labels: Labels) -> None:
    """Titles, labels, a light grid, no box."""
    axes.set_title(labels.title, fontsize=10)
    axes.set_xlabel(labels.x, fontsize=9)
    axes.set_ylabel(labels.y, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def panels(count: int, columns: int, size: tuple[float, float] = (4.2, 3.0)) -> tuple[Canvas, list[Axes]]:
    """A grid of plots."""
    rows = -(-count // columns)
    canvas, grid = plt.subplots(rows, columns, figsize=(size[0] * columns, size[1] * rows), squeeze=False)
    axes = [axis for row in grid for axis in row]
    for spare in axes[count:]:
        spare.set_visible(False)
    return canvas, axes[:count]


def save(canvas: Canvas, path: Path) -> None:
    """Write and forget. No date in the file: the same figures give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.tight_layout()
    canvas.savefig(path, dpi=DPI, metadata={"Software": None})
    plt.close(canvas)
