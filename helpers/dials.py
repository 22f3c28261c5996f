"""The dials: how a result is to sound, each a number or a movement over time."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from helpers.audio import AudioError

Dial = float | Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Dials:
    """How a result is to sound; each from 0 to 1, and checked when it is set.

    A dial is a number, or breakpoints in order of time, ``[(seconds, value), ...]``:
    between them it moves evenly, before the first and after the last it stays.

    Parameters
    ----------
    blend : number or breakpoints, default 1
        From 0, B itself, to 1, the full prediction.
    continuity : number or breakpoints, default 0.5
        From 0, a mosaic of single moments of A, to 1, long stretches of it. At the
        default B's structure and A's motion are both kept well.
    melody : number or breakpoints, default 0
        From 0, where A keeps its own pitches, to 1, where it sings B's. Where B has no
        pitch, it does nothing.
    dynamics : number or breakpoints, default 1
        How far the loudness is B's: at 0, A keeps its own.

    Raises
    ------
    AudioError
        For values outside 0 to 1, or breakpoints out of order.
    """

    blend: Dial = 1.0
    continuity: Dial = 0.5
    melody: Dial = 0.0
    dynamics: Dial = 1.0

    def __post_init__(self) -> None:  # noqa: D105
        for field in fields(self):
            breakpoints(getattr(self, field.name), name=field.name)


def breakpoints(dial: Dial, *, name: str = "a dial") -> np.ndarray:
    """Read a dial as breakpoints, ``(n_points, 2)`` of seconds and values.

    Raises
    ------
    AudioError
        For values outside 0 to 1, or breakpoints out of order.
    """
    try:
        steady = np.ndim(dial) == 0
        points = np.array([(0, dial)] if steady else dial, dtype=float)
        points = points.reshape(len(points), 2)
        seconds, values = points.T
        in_order = bool(len(points)) and np.all(np.diff(seconds) >= 0)
        in_range = np.all((values >= 0) & (values <= 1))
        fits = in_order and in_range and np.isfinite(seconds).all()
    except (TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        raise AudioError(
            f"{name}={dial!r} does not work: give a number from 0 to 1, or breakpoints "
            "in order of time such as [(0, 0), (2.5, 1)]."
        )
    return points


def along(dial: Dial, seconds: np.ndarray) -> np.ndarray:
    """Read off a dial at some moments, in seconds."""
    return np.interp(seconds, *breakpoints(dial).T)
