"""The two regressors that scikit-learn lacks."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.decomposition import non_negative_factorization
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

ACTIVE_DB = 45  # rows further under the loudest hardly matter
RANGE_DB = 60  # levels further under it are not heard


class FramePath(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Nearest neighbours that may go on: the cheapest path through the training rows.

    Row after row it predicts the target of a training row that is near, but going on
    from one training row to the next one is free, while jumping elsewhere costs: unit
    selection, as in speech synthesis (Hunt and Black 1996), by dynamic programming
    (Viterbi 1967) over all rows; exact while `flux_weight` is 0, and otherwise but for
    jumping only from the row that was cheapest so far. With the default costs of zero
    each row is predicted on its own, by its nearest neighbour.

    A row is ``n_bands`` levels in dB at unit loudness, then optionally the loudness and
    the spectral flux in dB, as from `helpers.frames.describe`. Its target is the number
    of its frame: rows whose numbers follow each other follow each other in time.

    Parameters
    ----------
    jump_cost : float, default 0
        Price of not going on, in mean distances of one row. More makes longer runs of
        the training sound, less follows the given rows more closely.
    flux_weight : float, default 0
        Price, per standard deviation of the flux column, of moving more or less than
        it asks for.
    loudness_weight : float, default 0
        Price, per dB, of a training row that is louder or quieter than is asked for.
    n_bands : int, default 20
        Columns of levels; the columns after them are loudness and flux.
    """

    def __init__(self, jump_cost=0.0, flux_weight=0.0, loudness_weight=0.0, n_bands=20):
        self.jump_cost = jump_cost
        self.flux_weight = flux_weight
        self.loudness_weight = loudness_weight
        self.n_bands = n_bands

    def fit(self, X, y):  # noqa: N803 scikit-learn's name
        """Keep the training rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_columns)
        y : array-like of shape (n_rows,) or (n_rows, n_targets)
            Where a row has the target of the row before it plus 1, going on from that
            one is free.
        """
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True)  # noqa: N806
        self.X_, self.y_ = X.astype(np.float32), y
        follows = np.diff(y.reshape(len(y), -1), axis=0) == 1
        self.starts_ = np.append(True, ~follows.all(axis=1))
        return self

    def predict(self, X):  # noqa: N803
        """Predict one row of targets for each row of X."""
        path = self._path(X)
        return self.y_[path]

    def _split(self, X):  # noqa: N803
        columns = np.zeros((self.n_bands + 2, len(X)), np.float32)
        columns[: X.shape[1]] = X.T[: self.n_bands + 2]
        return columns[: self.n_bands], columns[-2], columns[-1]

    def _path(self, X):  # noqa: N803
        check_is_fitted(self)
        X = validate_data(self, X, reset=False)  # noqa: N806
        bands, loudness, _ = self._split(self.X_)
        target, loud, flux = self._split(X)
        heard = loud > -ACTIVE_DB
        matters = np.where(heard, 1, 0.1).astype(np.float32)
        spread = (bands.var(axis=1).mean() * target.var(axis=1).mean()) ** 0.25 + 1e-9
        flux_std = flux[heard if heard.any() else slice(None)].std()
        flux_weight = np.float32(self.flux_weight / (flux_std + 1e-9))
        mean = np.full(self.n_bands, 1 / self.n_bands, np.float32)
        went_on = np.zeros((len(X), -(-len(loudness) // 8)), np.uint8)
        best = np.zeros(len(X), int)
        on = np.full(len(loudness), np.inf, np.float32)
        cost = before = None
        for t in range(len(X)):
            # Training rows as they sound once they have the loudness of row t.
            now = np.maximum(bands + loud[t], -RANGE_DB)
            distance = np.sqrt(mean @ np.square(now - target[:, t, None])) / spread
            distance += self.loudness_weight * np.abs(loudness - loud[t])
            distance *= matters[t]
            if t > 0:
                k = best[t] = cost.argmin()
                rise_on = mean @ np.maximum(now[:, 1:] - before[:, :-1], 0)
                rise_to = mean @ np.maximum(now - before[:, k, None], 0)
                on[1:] = cost[:-1] + flux_weight * np.abs(rise_on - flux[t])
                on[self.starts_] = np.inf
                to = cost[k] + flux_weight * np.abs(rise_to - flux[t])
                to += self.jump_cost * matters[t]
                went_on[t] = np.packbits(on <= to)
                distance += np.minimum(on, to)
            cost, before = distance, now
        path = np.empty(len(X), int)
        path[-1] = cost.argmin()
        for t in range(len(X) - 1, 0, -1):
            row = path[t]
            continued = went_on[t, row // 8] >> (7 - row % 8) & 1
            path[t - 1] = row - 1 if continued else best[t]
        return path


class SparseMixture(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Each row as a mixture of a few training rows, none of them subtracted.

    "Let it Bee" (Driedger, Prätzlich and Müller, ISMIR 2015) as a regressor: the
    weights are those of a non-negative factorisation whose other factor, the training
    rows, is given; of each mixture only the strongest `polyphony` parts stay.

    Parameters
    ----------
    n_updates : int, default 30
        Multiplicative updates; more fit the given rows more closely.
    polyphony : int, default 10
        Training rows that sound at once.
    """

    def __init__(self, n_updates=30, polyphony=10):
        self.n_updates = n_updates
        self.polyphony = polyphony

    def fit(self, X, y):  # noqa: N803
        """Keep the training rows: X in dB, ``(n_rows, n_columns)``, and their y."""
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True)  # noqa: N806
        self.X_, self.y_ = X, y
        return self

    def predict(self, X):  # noqa: N803
        """Predict one row of targets for each row of X."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=self.X_.dtype)  # noqa: N806
        # In blocks, for a dense table of all weights could outgrow the memory.
        blocks = [X[i : i + 1024] for i in range(0, len(X), 1024)]
        return np.concatenate([self._weights(block) @ self.y_ for block in blocks])

    def _weights(self, X):  # noqa: N803
        # What each row mixes, (n_rows, n_training_rows), in shares of 1.
        given, known = (10 ** (z.clip(-120, 120) / 20) for z in (X, self.X_))
        # With all rows of one size the starting weights, and so the result, do not
        # depend on which rows are solved together.
        given /= given.sum(axis=1, keepdims=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            weights = non_negative_factorization(
                given,
                H=known,
                n_components=len(known),
                update_H=False,
                solver="mu",
                beta_loss="kullback-leibler",
                max_iter=self.n_updates,
            )[0]
        kept = min(self.polyphony, len(known))
        least = np.partition(weights, -kept, axis=1)[:, -kept, None]
        weights[weights < np.maximum(least, 1e-12)] = 0
        return weights / weights.sum(axis=1, keepdims=True)
