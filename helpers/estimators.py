"""The regressor that scikit-learn lacks: nearest neighbours that may go on."""

from collections.abc import Callable

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

N_BANDS = 24  # enough to tell timbres apart, too few to tell B's pitch
ACTIVE_DB = 45  # frames further under the loudest hardly matter
RANGE_DB = 60  # levels further under it are not heard
BLOCK_VALUES = 2**18  # distances that are in work at a time


def audible(levels_db: np.ndarray) -> np.ndarray:
    """Floor levels in dB under the loudest frame at `-RANGE_DB`."""
    return np.maximum(levels_db, -RANGE_DB)


class FramePath(RegressorMixin, BaseEstimator):
    """Nearest neighbours that may go on: the cheapest path through A's frames.

    For row after row it predicts the number of a frame of A that is near, and that is
    reached by a step like B's. Going on to A's next frame is free, jumping elsewhere
    costs: unit selection, as in speech synthesis (Hunt and Black 1996), by dynamic
    programming (Viterbi 1967) over all of A's frames; exact while `step_weight` is 0,
    and otherwise but for jumping only from the frame that was cheapest so far. With
    costs of zero each row is predicted on its own, by its nearest neighbour.

    A row is `n_bands` levels in dB at unit loudness, then the loudness in dB, as from
    `helpers.frames.describe`, and, where pitch is to count, the chroma, as from
    `helpers.pitch.tones`. Its target is the number of its frame: rows whose numbers
    follow each other by one follow each other in time.

    Parameters
    ----------
    jump_cost : float, default 0
        Price of not going on, in standard deviations of B's rows. More makes longer
        stretches of A, less follows B more closely.
    step_weight : float, default 0
        What a step unlike B's counts, to a place unlike B's: more has fewer onsets that
        B has not.
    loudness_weight : float, default 0
        What a dB of loudness counts, to a dB of one band.
    pitch_weight : float, default 0
        Price, per length of B's chroma, of a frame with none of B's pitches.
    n_bands : int, default 24
        Columns of levels; those after them are loudness and chroma.
    """

    def __init__(
        self,
        jump_cost=0.0,
        step_weight=0.0,
        loudness_weight=0.0,
        pitch_weight=0.0,
        n_bands=N_BANDS,
    ):
        self.jump_cost = jump_cost
        self.step_weight = step_weight
        self.loudness_weight = loudness_weight
        self.pitch_weight = pitch_weight
        self.n_bands = n_bands

    def fit(self, X, y):  # noqa: N803 scikit-learn's name
        """Keep A's frames.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_bands + 1)
        y : array-like of shape (n_rows,)
            Their numbers.
        """
        X, self.y_ = validate_data(self, X, y, y_numeric=True)  # noqa: N806
        self.places_, self.tones_ = self._split(X)
        self.starts_ = np.append(True, np.diff(self.y_) != 1)
        return self

    def predict(self, X, continuity=1.0):  # noqa: N803
        """Predict the number of a frame of A for each row, ``(n_rows,)``.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_bands + 1)
        continuity : float or array-like of shape (n_rows,), default 1
            Times the jump cost, and less than 1 times the weight of steps too: at 0
            each row is predicted on its own.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)  # noqa: N806
        continuity = np.broadcast_to(np.float32(continuity), len(X))
        asked, tones = self._split(X)
        # A distance of 1 is how far B's rows lie, on the whole, from their mean.
        unit = np.sqrt(asked.var(axis=0).sum()) + np.float32(1e-9)
        known, asked = self.places_ / unit, asked / unit
        return self.y_[self._path(known, asked, tones, continuity)]

    def _path(self, known, asked, tones, continuity):
        # The cheapest way through A's rows, one for each of B's.
        distances = _distances_to(known)
        jump_cost = self.jump_cost * continuity
        step_weight = self.step_weight * np.minimum(continuity, 1)
        costs = self._costs(known, asked, tones, step_weight)
        cost, *_ = next(costs)
        began = np.zeros(len(known), int)  # when the way to each row last jumped
        jumps = np.zeros((len(asked), 2), int)  # where from, and when that way began
        for t, (off, going_on, step) in enumerate(costs, start=1):
            best = cost.argmin()
            jumps[t] = best, began[best]
            landing = distances(known[best] + step)
            jumping = jump_cost[t] + step_weight[t] * landing
            cost -= cost[best]  # only differences count, and small ones are precise
            going_on[1:] += cost[:-1]
            began[1:] = began[:-1]
            began[jumping < going_on] = t
            cost = off + np.minimum(going_on, jumping)
        return _way_back(cost.argmin(), began, jumps)

    def _split(self, X):  # noqa: N803
        # Where rows lie, in all bands and in loudness, and which pitches they have.
        places = np.zeros((len(X), self.n_bands + 1), np.float32)
        given = audible(X[:, : self.n_bands + 1])
        places[:, : given.shape[1]] = given
        places[:, self.n_bands] *= self.loudness_weight
        return places, X[:, self.n_bands + 1 :].astype(np.float32)

    def _costs(self, known, asked, tones, step_weight):
        # For each of B's rows how far off all of A's are, how far off the steps that go
        # on to them, and B's own step.
        known_steps, steps = _steps(known), _steps(asked)
        distances, step_distances = _distances_to(known), _distances_to(known_steps)
        n_block = max(1, BLOCK_VALUES // len(known))
        for first in range(0, len(asked), n_block):
            rows = slice(first, first + n_block)
            off = distances(asked[rows])
            if tones.shape[1]:
                off += self._dissonances(tones[rows])
            going_on = step_weight[rows, np.newaxis] * step_distances(steps[rows])
            going_on[:, self.starts_] = np.inf  # nothing goes on to these
            yield from zip(off, going_on, steps[rows], strict=True)

    def _dissonances(self, tones):
        # How much of the rows' pitches each of A's rows has not.
        length = np.linalg.norm(tones, axis=1, keepdims=True)
        return self.pitch_weight * (length - tones @ self.tones_.T)


def _steps(places):
    # From the row before; the first has none.
    return np.diff(places, axis=0, prepend=places[:1])


def _distances_to(known) -> Callable[[np.ndarray], np.ndarray]:
    # Several times as fast as scikit-learn's function, which does not trust float32:
    # what it could get wrong, a thousandth of a distance, is not heard.
    columns = np.ascontiguousarray(known.T)
    sizes = (known**2).sum(axis=1)

    def distances(rows):
        squares = (-2 * rows) @ columns
        squares += sizes
        squares += (rows**2).sum(axis=-1, keepdims=True)
        return np.sqrt(np.maximum(squares, 0))

    return distances


def _way_back(row, began, jumps):
    # Follow the cheapest way back from the last row, stretch by stretch.
    path = np.empty(len(jumps), int)
    stop, start = len(jumps), began[row]
    while stop:
        path[start:stop] = np.arange(row + 1 - (stop - start), row + 1)
        stop = start
        row, start = jumps[start]
    return path
