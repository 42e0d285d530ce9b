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
        values = [result["gateways"][name][scenario][member] for name in gateways]
        bars = axis.barh(gateways, values, color=[OURS if name == "wwwserve" else THEIRS for name in gateways])
        axis.bar_label(bars, [f"{value:,.1f}" for value in values], padding=3)
        axis.set_xscale("log")
        axis.margins(x=0.25)
        axis.invert_yaxis()
        axis.set_title(title)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle("wwwserve takes payment for every request; the others do not")
    figure.savefig(path, dpi=130)
    plt.close(figure)
