"""The bin recipe: its columns, its exact relation, and what a model makes of it."""

import numpy as np
import pytest
from scipy.fft import fft, rfft
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LassoLarsCV, LinearRegression

from helpers import spectrum
from helpers.audio import AudioError, Sound
from helpers.bins import (
    FEATURES,
    TARGETS,
    bin_table,
    convolve_bins,
    fit_bins,
    predict_bins,
    sample_bins,
    spread_frames,
    turn_frames,
)
from helpers.spectrum import analyse, cut_frames, make_stft, overlap_add

N_FFT = 256
STFT_256 = make_stft(44100, N_FFT, 64)


class Exact(RegressorMixin, BaseEstimator):
    """The perfect model: the target is a function of magnitude and phase."""

    def __init__(self, part=np.cos):
        self.part = part

    def fit(self, X, y):  # noqa: N803
        """Learn nothing."""
        self.fitted_ = True
        return self

    def predict(self, X):  # noqa: N803
        """Work the target out."""
        return X["raw_magnitude"].to_numpy() * self.part(X["raw_phase"].to_numpy())


@pytest.fixture(scope="module")
def frames(tone) -> np.ndarray:
    """Cut the tone into 200 windowed frames."""
    return cut_frames(tone.samples[:12700], stft=STFT_256)[0, :200]


@pytest.fixture(scope="module")
def table(frames):
    """Lay the tone out."""
    return bin_table(frames)


def test_the_columns_have_their_names(table):
    assert list(table) == [
        "raw",
        "raw_magnitude",
        "raw_phase",
        "sine",
        "sine_magnitude",
        "sine_phase",
        "raw_complex_real",
        "raw_complex_imag",
    ]
    assert len(table) == 200 * N_FFT


def test_tables_and_frames_are_of_single_precision(frames):
    table = bin_table(frames.astype(np.float64))
    assert set(table.dtypes) == {np.dtype(np.float32)}
    fitted = fit_bins(table, LinearRegression())
    assert predict_bins(fitted, table, n_fft=N_FFT).dtype == np.float32


def test_a_row_is_one_bin_of_one_frame(table, frames):
    raw = frames[3].astype(float) * 32768
    rows = table.iloc[3 * N_FFT : 4 * N_FFT]
    # Each number is stored in single precision; |sin'| <= 1 near 1e4 moves by 1e-3.
    np.testing.assert_allclose(rows["raw"], raw, rtol=1e-6)
    np.testing.assert_allclose(rows["sine"], np.sin(raw), atol=2e-3)
    for name, signal in (("raw", raw), ("sine", rows["sine"].to_numpy())):
        spectrum = fft(signal)
        size = np.abs(spectrum).max()
        magnitude, phase = rows[f"{name}_magnitude"], rows[f"{name}_phase"]
        np.testing.assert_allclose(magnitude, np.abs(spectrum), atol=1e-5 * size)
        turned = magnitude * np.exp(1j * phase)
        np.testing.assert_allclose(turned, spectrum, atol=1e-5 * size)


def test_the_target_is_an_exact_function_of_magnitude_and_phase(table):
    magnitude, phase = table["raw_magnitude"], table["raw_phase"]
    # A phase of up to pi in single precision is 1.2e-7 off at most.
    near = {"rtol": 0, "atol": 5e-7 * magnitude.max()}
    np.testing.assert_allclose(
        magnitude * np.cos(phase), table["raw_complex_real"], **near
    )
    np.testing.assert_allclose(
        magnitude * np.sin(phase), table["raw_complex_imag"], **near
    )


def test_a_perfect_model_returns_b(bursts):
    frames = cut_frames(bursts.samples, stft=STFT_256)
    table = bin_table(frames.reshape(-1, N_FFT))
    back = predict_bins([Exact(np.cos), Exact(np.sin)], table, n_fft=N_FFT)
    # A third of a 16-bit step.
    np.testing.assert_allclose(back, frames.reshape(-1, N_FFT), atol=1e-5)


def test_true_targets_become_the_frames_again(table, frames):
    class Given:
        def __init__(self, target):
            self.target = target

        def predict(self, _):
            return table[self.target].to_numpy()

    given = [Given("raw_complex_real"), Given("raw_complex_imag")]
    back = predict_bins(given, table, n_fft=N_FFT)
    np.testing.assert_allclose(back, frames, atol=1e-6)


def sound_of(fitted, table):
    """Predict a sound, one channel."""
    frames = predict_bins(fitted, table, n_fft=N_FFT)
    samples = np.zeros((44100, 1), np.float32)
    overlap_add(samples, frames[None], stft=STFT_256)
    return samples


def test_a_sample_of_rows_gives_the_sound_of_all_rows(tone, bursts):
    table = bin_table(cut_frames(tone.samples, stft=STFT_256)[0])
    some_rows = sample_bins(table, n_fft=N_FFT)
    assert len(table) > 2 * len(some_rows)
    sampled, full = (fit_bins(rows, LinearRegression()) for rows in (some_rows, table))
    # Per standard deviation of a column, n like rows tell a coefficient to 1 / sqrt(n),
    # .003 of the target's deviation; but A's few loud bins count for most of the rows.
    spread = table[FEATURES].std().to_numpy()
    for some, every, target in zip(sampled, full, TARGETS, strict=True):
        difference = np.linalg.norm((some.coef_ - every.coef_) * spread)
        assert difference < 0.03 * table[target].std()
    known = bin_table(cut_frames(bursts.samples, stft=STFT_256)[0])
    heard, expected = (
        np.abs(analyse(sound_of(fitted, known), stft=make_stft(44100)))
        for fitted in (sampled, full)
    )
    audible = expected > expected.max() / 1000
    difference_db = 20 * np.log10(heard[audible] / expected[audible])
    assert np.abs(difference_db).mean() < 1  # the least that people notice


def test_bins_are_drawn_in_mirrored_pairs_and_the_same_each_time(table):
    draw = {"n_fft": N_FFT, "n_rows": 1001}
    rows = sample_bins(table, seed=3, **draw)
    frame, k = np.divmod(rows.index, N_FFT)
    assert len(rows) == 1002
    assert sorted(rows.index) == sorted(frame * N_FFT + (-k) % N_FFT)
    assert list(rows.index) == list(sample_bins(table, seed=3, **draw).index)
    assert list(rows.index) != list(sample_bins(table, seed=4, **draw).index)


def test_all_rows_are_used_where_there_are_not_more(table):
    for n_rows in (len(table), 10**9):
        assert sample_bins(table, n_fft=N_FFT, n_rows=n_rows).equals(table)


def test_the_estimator_that_is_passed_is_not_changed(table):
    model = LinearRegression(positive=False)
    before = vars(model).copy()
    fitted = fit_bins(table[:500], model)
    assert vars(model) == before
    assert len(fitted) == 2
    assert model not in fitted


def test_a_model_that_needs_more_bins_says_so(table):
    with pytest.raises(AudioError, match=r"2 bins of sound A .*: choose a longer A"):
        fit_bins(table[:2], LassoLarsCV())


def test_frames_are_spread_over_all_moments_and_channels(bursts):
    frames = spread_frames(bursts, stft=STFT_256, most=10)
    every = cut_frames(bursts.samples, stft=STFT_256)
    assert frames.shape == (20, N_FFT)
    np.testing.assert_array_equal(frames[1], every[1, 0])
    np.testing.assert_array_equal(frames[18], every[0, -1])


def test_every_channel_of_b_is_predicted_on_its_own(tone, bursts):
    right = Sound(bursts.samples[:, 1:], bursts.rate)
    both, alone = (
        convolve_bins(tone, b, LinearRegression(), stft=STFT_256)
        for b in (bursts, right)
    )
    assert both.samples.shape == bursts.samples.shape
    assert both.rate == bursts.rate
    # Other numbers of rows may add up in another order: some steps of float32.
    np.testing.assert_allclose(both.samples[:, 1:], alone.samples, atol=1e-6)


class PerfectForEither(Exact):
    """The perfect model, which sees by its name which part it is fitted to."""

    def fit(self, X, y):  # noqa: N803
        """Note the part."""
        self.part = np.cos if y.name == "raw_complex_real" else np.sin
        return self


@pytest.mark.parametrize("block_frames", [10**6, 50])
def test_with_a_perfect_model_all_of_b_comes_back(
    block_frames, tone, bursts, monkeypatch
):
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", block_frames)
    back = convolve_bins(tone, bursts, PerfectForEither(), stft=STFT_256)
    # Four frames overlap, each a third of a 16-bit step off.
    np.testing.assert_allclose(back.samples, bursts.samples, atol=4e-5)


class Counts(PerfectForEither):
    """A model that notes how many rows it predicts at once."""

    counts = []  # noqa: RUF012 shared by all copies, on purpose

    def predict(self, X):  # noqa: N803
        """Note their number."""
        self.counts.append(len(X))
        return super().predict(X)


def test_all_channels_share_a_block_of_bounded_size(tone, monkeypatch):
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", 60)
    Counts.counts.clear()
    b = Sound(np.repeat(tone.samples[:10_000], 6, axis=1), tone.rate)
    convolve_bins(tone, b, Counts(), stft=STFT_256)
    assert 30 * N_FFT < max(Counts.counts) <= 60 * N_FFT


class Notes(Exact):
    """A model that notes the rows that it learns from."""

    seen = []  # noqa: RUF012 shared by all copies, on purpose

    def fit(self, X, y):  # noqa: N803
        """Note the rows."""
        self.seen.append(X.index.to_numpy())
        return self


def test_the_seed_chooses_the_bins_that_are_learned(bursts):
    Notes.seen.clear()
    for seed in (1, 1, 2):
        convolve_bins(bursts, bursts, Notes(), stft=STFT_256, seed=seed)
    first, imag, same, _, other, _ = Notes.seen
    assert len(first) == 100_000  # of 256 moments of 2 channels of 256 bins
    np.testing.assert_array_equal(first, imag)
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


# Frames that are turned ---------------------------------------------------------------

NONE_BEFORE = np.zeros((1, 0, N_FFT), np.float32)


@pytest.fixture(scope="module")
def hum() -> np.ndarray:
    """Cut a steady tone of 1 kHz into frames."""
    samples = np.sin(2 * np.pi * 1000 / 44100 * np.arange(8192)).astype(np.float32)
    return cut_frames(samples[:, np.newaxis], stft=STFT_256)[:, 8:-8]


def loudness_range_db(frames: np.ndarray) -> float:
    """Measure how much the loudness of overlapping frames changes, in dB."""
    output = np.zeros((frames.shape[1] * STFT_256.hop + 2 * N_FFT, 1), np.float32)
    overlap_add(output, frames, stft=STFT_256, first=8)
    inside = output[10 * STFT_256.hop : (4 + frames.shape[1]) * STFT_256.hop]
    # In stretches of 441 samples: ten periods of the tone.
    stretches = inside[: len(inside) // 441 * 441].reshape(-1, 441)
    power_db = 10 * np.log10((stretches**2).mean(axis=1) + 1e-12)
    return np.ptp(power_db)


def test_frames_whose_phases_disagree_are_turned_until_they_agree(hum):
    phases = np.random.default_rng(0).uniform(-np.pi, np.pi, hum.shape[:2])
    spectrum_of = rfft(hum, axis=2) * np.exp(1j * phases)[..., np.newaxis]
    scattered = np.fft.irfft(spectrum_of, axis=2).astype(np.float32)
    assert loudness_range_db(scattered) > 3
    turned = turn_frames(scattered, NONE_BEFORE, stft=STFT_256)
    assert loudness_range_db(turned) < 0.5


def test_frames_that_go_on_from_each_other_stay_as_they_are(hum):
    # A window of 256 samples parts 1 kHz from its mirror image at -1 kHz by 1 %.
    turned = turn_frames(hum, NONE_BEFORE, stft=STFT_256)
    np.testing.assert_allclose(turned, hum, atol=0.01)


def test_turned_frames_keep_their_magnitudes(bursts):
    frames = cut_frames(bursts.samples[:9000], stft=STFT_256)[:, :, ::-1]
    before = np.zeros((2, 0, N_FFT), np.float32)
    turned = turn_frames(frames, before, stft=STFT_256)
    old, new = (np.abs(rfft(x, axis=2))[:, :, 1:-1] for x in (frames, turned))
    np.testing.assert_allclose(new, old, atol=1e-4)
    assert np.abs(turned - frames).max() > 0.01


def test_turned_frames_go_on_from_those_of_the_block_before(bursts, monkeypatch):
    settings = {"stft": STFT_256, "turned": True}
    b = Sound(bursts.samples[:9000], bursts.rate)
    model = LinearRegression()
    whole = convolve_bins(bursts, b, model, **settings)
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", 20)
    pieces = convolve_bins(bursts, b, model, **settings)
    # What a frame has at 0 Hz and at half the rate turns into nothing and is not there
    # for the next block.
    scale = np.abs(whole.samples).max()
    np.testing.assert_allclose(pieces.samples, whole.samples, atol=0.02 * scale)
