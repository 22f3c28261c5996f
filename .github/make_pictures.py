"""Make the README's pictures: `.venv/bin/python .github/make_pictures.py`."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a script starts with its own folder on the path only

from helpers import show  # noqa: E402
from helpers.convolution import predictive_convolution  # noqa: E402
from helpers.finishing import finish  # noqa: E402
from helpers.sound import load  # noqa: E402

PICTURES = ROOT / ".github" / "pictures"
BOXES = {  # colour, left edge, bottom edge, text
    "a": ("A", 0, 1.5, "sound A"),
    "b": ("B", 0, 0, "sound B"),
    "frames_a": ("A", 2.6, 1.5, "rough description\nand full detail\nof every moment"),
    "frames_b": ("B", 2.6, 0, "rough description\nof every moment,\nturned onto A"),
    "fit": ("A", 5.2, 1.5, "a regressor\nlearns: rough in,\nfull detail out"),
    "predict": ("result", 5.2, 0, "predicts\nthe full detail,\nmade of A"),
    "gesture": ("result", 7.8, 0, "B's loudness\nand articulation,\nthen finishing"),
    "result": ("result", 10.4, 0, "B's gesture\nin A's timbre"),
}
ARROWS = ["a frames_a", "frames_a fit", "fit predict", "b frames_b"]
ARROWS += ["frames_b predict", "predict gesture", "gesture result"]


def draw_pipeline(ax: Axes) -> None:
    """Draw what happens to A and B as boxes and arrows."""
    for colour, x, y, text in BOXES.values():
        edge = {"edgecolor": show.COLOURS[colour], "facecolor": "white", "lw": 2.5}
        ax.add_patch(FancyBboxPatch((x, y), 2, 0.9, "round,pad=0.05", **edge))
        ax.text(x + 1, y + 0.45, text, ha="center", va="center", fontsize=12)
    for arrow in ARROWS:
        start, end = (BOXES[name][1:3] for name in arrow.split())
        across = end[0] > start[0]
        ends = (
            [(start[0] + 2.05, start[1] + 0.45), (end[0] - 0.05, end[1] + 0.45)]
            if across
            else [(start[0] + 1, start[1] - 0.05), (end[0] + 1, end[1] + 0.95)]
        )
        style = {"arrowstyle": "-|>", "mutation_scale": 22, "color": "#555555"}
        ax.add_patch(FancyArrowPatch(*ends, shrinkA=0, shrinkB=0, lw=1.8, **style))
    ax.set(xlim=(-0.15, 12.6), ylim=(-0.15, 2.55))
    ax.set_axis_off()


def main() -> None:
    """Draw the pipeline, and the spectrograms of two demo sounds and their result."""
    PICTURES.mkdir(exist_ok=True)
    figure, ax = plt.subplots(figsize=(12, 2.8), layout="constrained")
    draw_pipeline(ax)
    figure.savefig(PICTURES / "pipeline.png", dpi=110)

    a, b = (load(ROOT / "input_audio" / f"{name}.wav") for name in ("voice", "drums"))
    result = finish(predictive_convolution(a, b))
    sounds = {
        "A: a voice": a,
        "B: drums": b,
        "the voice, struck like the drums": result,
    }
    size = {"figsize": (12, 3.6), "sharey": True, "layout": "constrained"}
    figure, axes = plt.subplots(1, 3, **size)
    show.draw_spectrograms(axes, sounds)
    figure.savefig(PICTURES / "result.png", dpi=110)


if __name__ == "__main__":
    main()
