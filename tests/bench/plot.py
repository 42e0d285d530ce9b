"""A picture of a run: processor time a request, and what of the targets was reached."""

from pathlib import Path
from typing import Any

OURS, THEIRS = "#1f6f5c", "#b9c2c0"


def draw(result: dict[str, Any], path: Path) -> None:
    """Two bar charts on a logarithmic scale, ours in colour. Does nothing without matplotlib."""
    try:
        import matplotlib as mpl
    except ImportError:
        return
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    gateways = [name for name in result["gateways"] if name != "direct"]
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
    charts = (
        ("plain128", "cpu_per_request", "CPU microseconds a plain request"),
        ("stream32", "cpu_per_event", "CPU microseconds an event of a stream"),
    )
    for axis, (scenario, member, title) in zip(axes, charts, strict=True):
        measured = {name: value for name in gateways if (value := result["gateways"][name][scenario][member])}
        values = list(measured.values())
        bars = axis.barh(list(measured), values, color=[OURS if name == "wwwserve" else THEIRS for name in measured])
        axis.bar_label(bars, [f"{value:,.1f}" for value in values], padding=3)
        axis.set_xscale("log")
        axis.margins(x=0.25)
        axis.invert_yaxis()
        axis.set_title(title)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("wwwserve takes payment for every request; the others do not")
    figure.savefig(path, dpi=130)
    plt.close(figure)
