"""The regressor that scikit-learn lacks: nearest neighbours that may go on."""

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

N_BANDS = 24  # enough to tell timbres apart, too few to tell B's pitch
ACTIVE_DB = 45  # frames further under the loudest hardly matter
RANGE_DB = 60  # levels further under it are not heard
BLOCK_VALUES = 2**20  # distances that are in memory at a time
MOST_CHANGE_DB = 40  # of loudness, from one frame to the next


def audible(levels_db: np.ndarray) -> np.ndarray:
    """Floor levels in dB under the loudest frame at `-RANGE_DB`."""
    return np.maximum(levels_db, -RANGE_DB)


class FramePath(RegressorMixin, BaseEstimator):
    """Nearest neighbours that may go on: the cheapest path through A's frames.

    Frame after frame it predicts the number of a frame of A that is near, but going on
    to A's next frame is free, while jumping elsewhere costs: unit selection, as in
    speech synthesis (Hunt and Black 1996), by dynamic programming (Viterbi 1967) over
    all rows; exact while `flux_weight` is 0, and otherwise but for jumping only from
    the row that was cheapest so far. With costs of zero each row is predicted on its
    own, by its nearest neighbour.

    A row is `n_bands` levels in dB at unit loudness, then the loudness and the spectral
    flux in dB, as from `helpers.frames.describe`, and, where pitch is to count, the
    chroma, as from `helpers.pitch.tones`. Its target is the number of its frame: rows
    whose numbers follow each other by one follow each other in time.

    Parameters
    ----------
    jump_cost : float, default 0
        Price of not going on, in mean distances of one row. More makes longer stretches
        of A, less follows B more closely.
    flux_weight : float, default 0
        Price, per standard deviation of B's flux, of moving more or less than B does.
    loudness_weight : float, default 0
        Price, per dB, of a frame that is louder or quieter in A than in B.
    pitch_weight : float, default 0
        Price, per length of B's chroma, of a frame with none of B's pitches.
    n_nearest : int, default 128
        Rows that a jump may lead to: the nearest ones. All would change next to nothing
        and take longer.
    n_bands : int, default 24
        Columns of levels; those after them are loudness, flux and chroma.
    """

    def __init__(
        self,
        jump_cost=0.0,
        flux_weight=0.0,
        loudness_weight=0.0,
        pitch_weight=0.0,
        n_nearest=128,
        n_bands=N_BANDS,
    ):
        self.jump_cost = jump_cost
        self.flux_weight = flux_weight
        self.loudness_weight = loudness_weight
        self.pitch_weight = pitch_weight
        self.n_nearest = n_nearest
        self.n_bands = n_bands

    def fit(self, X, y):  # noqa: N803 scikit-learn's name
        """Keep A's frames.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_bands + 2)
        y : array-like of shape (n_rows,)
            Their numbers.
        """
        X, self.y_ = validate_data(self, X, y, y_numeric=True)  # noqa: N806
        self.bands_, self.loudness_, _, self.tones_ = self._split(X)
        self.starts_ = np.append(True, np.diff(self.y_) != 1)
        self.mean_ = np.full(self.n_bands, 1 / self.n_bands, np.float32)
        # How much going on makes bands rise, for each change of loudness in whole dB.
        self.floored_ = audible(self.bands_)
        steps = np.diff(self.floored_, axis=0, prepend=self.floored_[:1])
        changes = range(-MOST_CHANGE_DB, MOST_CHANGE_DB + 1)
        rises = [np.maximum(steps + change, 0).mean(axis=1) for change in changes]
        self.rises_ = np.stack(rises)
        return self

    def predict(self, X, jump_cost=None):  # noqa: N803
        """Predict the number of a frame of A for each row, ``(n_rows,)``.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_bands + 2)
        jump_cost : array-like of shape (n_rows,), optional
            Of its own for each row, in place of the one that holds for all.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)  # noqa: N806
        jump_cost = self.jump_cost if jump_cost is None else jump_cost
        jump_cost = np.broadcast_to(jump_cost, len(X))
        bands, loudness, flux, tones = self._split(X)
        spread, flux_spread = self._spreads(bands, loudness, flux)
        per_flux = self.flux_weight / flux_spread
        change = np.diff(loudness, prepend=loudness[:1]).round()
        change = change.clip(-MOST_CHANGE_DB, MOST_CHANGE_DB).astype(int)
        best, jumped = [], []
        for t, (distance, near) in enumerate(
            self._candidates(bands, loudness, tones, spread)
        ):
            if t == 0:
                cost = distance
                continue
            best.append(cost.argmin())
            way, reached = self._step(
                cost, near, change[t], flux[t], per_flux, jump_cost[t]
            )
            jumped.append(reached)
            cost = distance + way
        return self.y_[_way_back(cost.argmin(), best, jumped)]

    def _split(self, X):  # noqa: N803
        columns = np.zeros((len(X), self.n_bands + 2), np.float32)
        n_columns = min(X.shape[1], self.n_bands + 2)
        columns[:, :n_columns] = X[:, :n_columns]
        tones = X[:, self.n_bands + 2 :].astype(np.float32)
        return columns[:, :-2], columns[:, -2], columns[:, -1], tones

    def _spreads(self, bands, loudness, flux):
        # How far levels lie apart, in A and in these rows, and how far their flux does.
        heard = loudness > -ACTIVE_DB
        heard |= not heard.any()  # of silence, all
        levels = bands[heard] + loudness[heard, np.newaxis]
        spread = self.bands_.var(axis=0).mean() * levels.var(axis=0).mean()
        return spread**0.25 + 1e-9, flux[heard].std() + 1e-9

    def _candidates(self, bands, loudness, tones, spread):
        # For each row how far all of A's are, and to which of them a jump may lead.
        n_nearest = min(self.n_nearest, len(self.bands_))
        n_block = max(1, BLOCK_VALUES // len(self.bands_))
        # Rows are compared as they sound at a row's loudness, in steps of 5 dB, so that
        # many of them are one product of matrices.
        rounded = 5 * np.round(audible(loudness) / 5)
        known = {level: audible(self.bands_ + level) for level in np.unique(rounded)}
        for first in range(0, len(bands), n_block):
            rows = slice(first, first + n_block)
            distances = self._distances(bands[rows], rounded[rows], known)
            distances /= np.float32(spread)
            louder = np.abs(self.loudness_ - loudness[rows, np.newaxis])
            distances += np.float32(self.loudness_weight) * louder
            if tones.shape[1]:
                distances += self._dissonances(tones[rows])
            nearest = np.argpartition(distances, n_nearest - 1)[:, :n_nearest]
            yield from zip(distances, nearest, strict=True)

    def _distances(self, bands, rounded, known):
        # How far each row is from each of A's, in dB.
        squares = np.empty((len(bands), len(self.bands_)), np.float32)
        for level in np.unique(rounded):
            rows = rounded == level
            asked = audible(bands[rows] + level)
            size_asked = (asked**2).sum(axis=1)[:, np.newaxis]
            size_known = (known[level] ** 2).sum(axis=1)
            products = asked @ known[level].T
            squares[rows] = size_asked + size_known - 2 * products
        return np.sqrt(np.maximum(squares, 0) / self.n_bands)

    def _dissonances(self, tones):
        # How much of the rows' pitches each of A's rows has not.
        length = np.linalg.norm(tones, axis=1, keepdims=True)
        return np.float32(self.pitch_weight) * (length - tones @ self.tones_.T)

    def _step(self, cost, near, change, flux, per_flux, jump_cost):
        # The cheapest way to each row from those before it, and which are reached by a
        # jump.
        way = np.empty_like(cost)
        rises = self.rises_[change + MOST_CHANGE_DB]
        way[1:] = cost[:-1] + per_flux * np.abs(rises[1:] - flux)
        way[self.starts_] = np.inf
        here = cost.argmin()
        rise = np.maximum(self.floored_[near] - (self.floored_[here] - change), 0)
        off = np.abs(rise @ self.mean_ - flux)
        jump = cost[here] + jump_cost + per_flux * off
        better = jump < way[near]
        way[near[better]] = jump[better]
        return way, near[better].astype(np.uint16 if len(cost) < 2**16 else np.uint32)


def _way_back(row, best, jumped):
    # Follow the cheapest way back from the last row.
    path = [row]
    for source, reached in zip(reversed(best), reversed(jumped), strict=True):
        row = source if row in reached else row - 1
        path.append(row)
    return np.array(path[::-1])
