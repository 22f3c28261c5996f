"""The catalogue of regressors, and how any of them learns the frames of A."""

import difflib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike
from sklearn import linear_model
from sklearn.base import BaseEstimator, RegressorMixin, clone, is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.path import FramePath
from helpers.sound import AudioError

NEAREST_PATH = FramePath(jump_cost=2.6, again_cost=0.07, extras=(1,))  # strokes
SMALL = {"hidden_layer_sizes": [64], "max_iter": 100, "early_stopping": True}
FRAMES = {  # a row for each frame
    "nearest_path": NEAREST_PATH,
    "nearest_neighbours": KNeighborsRegressor(1),
    "ridge": linear_model.Ridge(10.0),
    "pls": PLSRegression(8),
    "extra_trees": ExtraTreesRegressor(40, min_samples_leaf=2, random_state=42),
    "mlp": MLPRegressor(**SMALL, random_state=42),
}
# scikit-learn's own passive-aggressive class became this learning rate.
AGGRESSIVE = {"learning_rate": "pa1", "eta0": 0.42, "penalty": None, "max_iter": 580}
AGGRESSIVE |= {"loss": "epsilon_insensitive", "random_state": 42}
LARS = {"fit_intercept": False, "eps": 0.2, "max_iter": 200}
STUBBORN = {"stop_probability": 0.42, "max_skips": 50}
BINS = {  # a row for each bin of each frame, as in the original idea
    "linear_regression": linear_model.LinearRegression(),
    # On one scale, or its prior outweighs a sample of the rows: it would return B.
    "bayesian_ridge": make_pipeline(StandardScaler(), linear_model.BayesianRidge()),
    "lasso_lars": linear_model.LassoLars(0.42, **LARS),
    "passive_aggressive": linear_model.SGDRegressor(**AGGRESSIVE),
    "lasso_lars_cv": linear_model.LassoLarsCV(max_iter=20, fit_intercept=False),
    "ransac": linear_model.RANSACRegressor(**STUBBORN, random_state=42),
    "linear_no_intercept": linear_model.LinearRegression(fit_intercept=False),
}
CATALOGUE = FRAMES | BINS
DIALS = {"blend": 1.0, "continuity": 0.5, "melody": 0.0, "dynamics": 1.0}

Model = str | RegressorMixin  # a name in the catalogue, or a regressor of one's own


def find_model(model: Model) -> tuple[RegressorMixin, str]:
    """Give a regressor and what its rows are: "frames" or "bins".

    Parameters
    ----------
    model : str or scikit-learn regressor
        A name in `CATALOGUE`, or any regressor, which is for frames.

    Returns
    -------
    regressor : scikit-learn regressor
    recipe : str
        "frames" or "bins".

    Raises
    ------
    AudioError
        When there is no model of that name, or it is not a regressor.
    """
    if isinstance(model, str) and model in CATALOGUE:
        return CATALOGUE[model], "bins" if model in BINS else "frames"
    if isinstance(model, BaseEstimator) and is_regressor(model):
        return model, "frames"
    wrong = " ".join(repr(model).split())
    like = difflib.get_close_matches(wrong.lower(), CATALOGUE, 1) or CATALOGUE
    raise AudioError(f"There is no model {wrong}: choose {', '.join(like)}.")


def dials_of(model: Model) -> tuple[str, ...]:
    """Tell which of the `DIALS` do anything for a model."""
    regressor, recipe = find_model(model)
    if recipe == "bins":
        return ("blend",)
    return tuple(DIALS) if isinstance(regressor, FramePath) else ("blend", "dynamics")


@contextmanager
def complaints(task: str) -> Iterator[None]:
    """Raise what a model complains of at a task as one `AudioError`.

    Its warnings are left out: the catalogue's low limits are meant, and what is no
    number shows in the end.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except (ValueError, StopIteration) as error:
        first, *_ = (str(error).strip() or type(error).__name__).splitlines()
        reason = first.rstrip(".").replace(". ", ", ")
        remedy = "choose another model, or a longer A"
        raise AudioError(f"The model cannot {task} ({reason}): {remedy}.") from None


def fit(model: RegressorMixin, known: ArrayLike, wanted: ArrayLike) -> RegressorMixin:
    """Fit a copy of `model` to rows of sound A.

    Returns
    -------
    scikit-learn regressor

    Raises
    ------
    AudioError
        When the model cannot learn from these rows, such as too few.
    """
    with complaints(f"learn from the {len(known)} rows of sound A"):
        return clone(model).fit(known, wanted)


def fit_magnitudes(
    model: RegressorMixin, described: np.ndarray, magnitudes: np.ndarray
) -> RegressorMixin:
    """Fit a copy of a model that averages: descriptions in, magnitudes out.

    The thousand bins of a frame are far from independent: 40 principal components sum
    them up: of their roots, lest the loudest outweigh all others (`predict_magnitudes`
    squares them). Columns are brought to one scale first, for many models stumble over
    different ones.

    Parameters
    ----------
    model : scikit-learn regressor
        Cloned, never changed.
    described : ndarray of shape (n_known, n_columns)
        A's frames.
    magnitudes : ndarray of shape (n_known, n_bins)
        Each row of a length of 1.

    Returns
    -------
    scikit-learn regressor

    Raises
    ------
    AudioError
        As `fit`; also where it takes one target at a time, unless it is put into
        scikit-learn's `MultiOutputRegressor`.
    """
    scaled = make_pipeline(StandardScaler(), model)
    components = PCA(min(40, *magnitudes.shape), random_state=0)
    summed_up = {"transformer": components, "check_inverse": False}
    whole = TransformedTargetRegressor(scaled, **summed_up)
    return fit(whole, described, np.sqrt(magnitudes))


def predict_magnitudes(model: RegressorMixin, described: np.ndarray) -> np.ndarray:
    """Predict the magnitudes of frames, ``(n_rows, n_bins)``, float32.

    Raises
    ------
    AudioError
        When the model cannot, for example since it predicts NaN.
    """
    with complaints("predict sound B"):
        # No part of a frame whose power is 1 can be larger than that.
        return np.clip(model.predict(described), 0, 1).astype(np.float32) ** 2
