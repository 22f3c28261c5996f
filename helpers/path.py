"""The regressor that scikit-learn lacks: nearest neighbours that may go on."""

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

BLOCK_VALUES = 2**18  # distances that are in work at a time
N_RECENT = 86  # rows: a second, where they are 512 samples apart at 44.1 kHz


class FramePath(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Nearest neighbours that may go on: the cheapest path through what is known.

    The known rows are in order of time. For row after row that is asked about, the
    path is at a known row that is near. Going on to the next known row is free, jumping
    elsewhere costs: unit selection, as in speech synthesis (Hunt and Black 1996), by
    dynamic programming (Viterbi 1967), in which a jump always leaves from the row that
    was cheapest so far. Without costs or extras, it is a nearest-neighbour regressor.

    Parameters
    ----------
    jump_cost : float, default 0
        Price of not going on. More makes longer stretches.
    again_cost : float, default 0
        Price of a row for each time that it was played in the 86 rows before its
        stretch began (a stretch that is as long pays no more): going over the same
        again and again is what stutters.
    extras : sequence of int, default ()
        How many of the last columns form groups of their own. A row costs the root of
        its distance in all other columns, 1 where it is as far off as the known rows
        lie, on the whole, from their mean: a row that is twice as far off is not twice
        as bad, and a stretch is not left for one bad row in it. The lengths of the
        differences in each group of extras are added as they are.
    """

    def __init__(self, jump_cost=0.0, again_cost=0.0, extras=()):
        self.jump_cost = jump_cost
        self.again_cost = again_cost
        self.extras = extras

    def fit(self, X, y, starts=None):  # noqa: N803 scikit-learn's names
        """Keep the known rows and their targets.

        Parameters
        ----------
        X : array-like of shape (n_known, n_columns)
            In order of time.
        y : array-like of shape (n_known,) or (n_known, n_targets)
        starts : array-like of bool, shape (n_known,), optional
            Marks rows that go on from nothing, such as the first of each file. By
            default there is only the first row of all.

        Returns
        -------
        FramePath
            Itself, fitted.
        """
        form = {"multi_output": True, "y_numeric": True, "dtype": np.float32}
        X, self.y_ = validate_data(self, X, y, **form)  # noqa: N806
        self.starts_ = np.append(0, np.flatnonzero([] if starts is None else starts))
        places, *extras = self._split(X)
        self.unit_ = np.sqrt(places.var(axis=0).sum()) + np.float32(1e-9)
        self.known_ = [_with_squares(x) for x in (places / self.unit_, *extras)]
        return self

    def predict(self, X):  # noqa: N803
        """Predict the targets of the rows on the path through `X`."""
        rows = self.path(X)  # first: it says so where nothing was fitted
        return self.y_[rows]

    def path(self, X, factor=1.0):  # noqa: N803
        """Find the cheapest path.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_columns)
            In order of time.
        factor : float or array-like of shape (n_rows,), default 1
            Of both costs, for each row. At 0 each row is on its own.

        Returns
        -------
        ndarray of shape (n_rows,)
            Numbers of known rows.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float32)  # noqa: N806
        factor = np.broadcast_to(np.float32(factor), len(X))
        distances = self._distances(X)
        # For each known row: `cost` of the cheapest way that ends there, and at which
        # row of X its last stretch `began`.
        cost = next(distances)
        began, every = np.zeros(len(cost), np.int32), np.arange(len(cost))
        left = np.zeros((len(X), 2), int)  # the row that a jump leaves, and its `began`
        # What was played in the second before a stretch that began at one of the last
        # rows of X, and how often. A second into a stretch, all that is long ago.
        lately = [np.zeros(0, int)] * N_RECENT
        times = np.zeros((N_RECENT, len(cost)), np.uint8)
        going_on = np.empty_like(cost)
        for t, distance in enumerate(distances, start=1):
            # Every jump leaves from the row that was cheapest so far. Costs are counted
            # from there: so they stay small, and float32 precise.
            best = cost.argmin()
            left[t] = best, began[best]
            stretch = np.arange(best + 1 - (t - began[best]), best + 1)
            before = lately[began[best] % N_RECENT]
            lately[t % N_RECENT] = np.append(before, stretch)[-N_RECENT:]
            times[t % N_RECENT] = np.bincount(lately[t % N_RECENT], minlength=len(cost))
            np.subtract(cost[:-1], cost[best], out=going_on[1:])
            going_on[self.starts_] = np.inf
            jumping = factor[t] * self.jump_cost
            began[1:] = began[:-1]
            np.putmask(began, jumping < going_on, t)
            np.minimum(going_on, jumping, out=going_on)
            np.add(distance, going_on, out=cost)
            again = times.take(began % N_RECENT * len(cost) + every)
            cost += factor[t] * self.again_cost * again * (t - began < N_RECENT)
        return _way_back(cost.argmin(), began, left)

    def _distances(self, X):  # noqa: N803
        # Of each row that is asked about to all known ones, some rows at a time.
        n_block = max(1, BLOCK_VALUES // len(self.known_[0]))
        for first in range(0, len(X), n_block):
            places, *extras = self._split(X[first : first + n_block])
            block = np.sqrt(_lengths(places / self.unit_, self.known_[0]))
            for asked, known in zip(extras, self.known_[1:], strict=True):
                block += _lengths(asked, known)
            yield from block

    def _split(self, X):  # noqa: N803
        # Into the columns of the distance and the groups of extras.
        n_behind = np.cumsum(self.extras[::-1], dtype=int)[::-1]
        return np.split(X, X.shape[1] - n_behind, axis=1)


def _with_squares(rows: np.ndarray) -> np.ndarray:
    # Beside each row 1, and the sum of its squares.
    return np.column_stack([rows, np.ones_like(rows[:, 0]), (rows**2).sum(axis=1)])


def _lengths(asked: np.ndarray, known_with_squares: np.ndarray) -> np.ndarray:
    # Of all differences, by one product: a^2 - 2ak + k^2. Several times as fast as
    # scikit-learn's function, which does not trust float32: what that gets wrong, a
    # thousandth of a distance (more, near 0), is not heard.
    terms = -2 * asked, (asked**2).sum(axis=1), np.ones_like(asked[:, 0])
    squares = np.column_stack(terms) @ known_with_squares.T
    np.maximum(squares, 0, out=squares)
    return np.sqrt(squares, out=squares)


def _way_back(row: int, began: np.ndarray, left: np.ndarray) -> np.ndarray:
    # From the last row that is asked about to the first, a stretch at a time: what is
    # remembered is where each of them began, and which row the jump there had left.
    path, stop, start = [], len(left), began[row]
    while stop > 0:
        path.append(np.arange(row + 1 - (stop - start), row + 1))
        stop = start
        row, start = left[start]
    return np.concatenate(path[::-1])
