"""Draw stacked bars of steps: ``python plot_steps.py FILE.svg``, in environment `train`.

Standard input is JSON: names of the steps, and each bar's milliseconds by step.
"""

import json
import sys

from matplotlib import rc_context
from matplotlib.figure import Figure

COLOURS = ("#7aa6c2", "#b9d2df", "#dbe8ef", "#1f5673", "#e0a458")


def main(path: str) -> None:
    """Write the figure; a bar of one value only is drawn in grey, as a whole."""
    content = json.load(sys.stdin)
    figure = Figure(figsize=(7, 1 + 0.4 * len(content["bars"])), layout="constrained")
    axes = figure.add_subplot()
    for place, milliseconds in enumerate(content["bars"].values()):
        left = 0.0
        colours = COLOURS if len(milliseconds) > 1 else ("#999999",)
        for colour, value in zip(colours, milliseconds):  # noqa: B905 - Python 3.8
            axes.barh(place, value, left=left, color=colour)
            left += value
        axes.text(left, place, f" {left:.0f} ms", va="center")
    axes.set_yticks(range(len(content["bars"])), list(content["bars"]))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("median milliseconds from a decoded picture to boxes")
    axes.spines[["top", "right"]].set_visible(False)
    handles = [axes.barh(0, 0, color=colour) for colour in COLOURS]
    axes.legend(handles, content["steps"], loc="lower right", frameon=False, fontsize=8)
    with rc_context({"svg.hashsalt": "steps"}):
        figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1])
