"""B's loudness and articulation, put onto another sound."""

import numpy as np
import pytest

from helpers import spectrum
from helpers.audio import Sound
from helpers.gesture import (
    apply_gain,
    articulate,
    bands_db,
    impose_loudness,
    loudness_db,
    spectral_flux,
)
from helpers.spectrum import make_stft

STFT_44 = make_stft(44100)
FINE = make_stft(44100, 1024, 256)


@pytest.fixture(scope="module")
def hiss(bursts) -> Sound:
    """Make steady noise of the length and channels of the bursts."""
    noise = np.random.default_rng(3).uniform(-0.2, 0.2, bursts.samples.shape)
    return Sound(noise.astype(np.float32), bursts.rate)


def correlation(x, y) -> float:
    """Correlate two curves in dB, each floored 60 under its maximum."""
    return np.corrcoef(*(np.maximum(z, z.max() - 60) for z in (x, y)))[0, 1]


def test_loudness_is_the_power_in_decibels():
    square = np.ones((8000, 1), np.float32)
    square[::2] *= -0.5  # a power of (1 + 1/4) / 2
    curve = loudness_db(Sound(square, 44100), stft=FINE)
    assert curve.shape == (1, FINE.p_num(8000))
    np.testing.assert_allclose(curve[0, 4:-5], 10 * np.log10(0.625), atol=0.01)


def test_a_gain_passes_through_its_points(hiss):
    n_rows = FINE.p_num(hiss.n_samples)
    gains_db = np.random.default_rng(0).uniform(-6, 6, (2, n_rows))
    turned = apply_gain(hiss, gains_db, stft=FINE)
    ratio_db = 20 * np.log10(turned.samples[::256] / hiss.samples[::256])
    points = gains_db.T[-FINE.p_min :][: len(ratio_db)]
    np.testing.assert_allclose(ratio_db, points, atol=1e-3)


def test_an_even_gain_is_a_factor(hiss):
    gains_db = np.full((2, FINE.p_num(hiss.n_samples)), 20 * np.log10(0.5))
    turned = apply_gain(hiss, gains_db, stft=FINE)
    np.testing.assert_allclose(turned.samples, hiss.samples / 2, rtol=1e-5)


def test_a_sound_takes_on_the_loudness_of_b(hiss, bursts):
    envelope = 0.02 + np.sin(np.linspace(0, [9, 14], len(bursts.samples))) ** 2
    swelling = Sound(hiss.samples[::-1] * envelope.astype(np.float32), hiss.rate)
    result = impose_loudness(hiss, swelling)
    assert result.samples.shape == swelling.samples.shape
    for channel in range(2):
        own, wanted = (loudness_db(s, stft=FINE)[channel] for s in (result, swelling))
        assert correlation(own, wanted) >= 0.99
        # In level too, to what remains of the unevenness of noise in 23 ms.
        assert np.abs(own - wanted)[4:-4].mean() < 0.7


def test_sudden_onsets_are_softened_but_followed(hiss, bursts):
    result = impose_loudness(hiss, bursts)
    for channel in range(2):
        curves = (loudness_db(s, stft=FINE)[channel] for s in (result, bursts))
        assert correlation(*curves) > 0.95


def test_what_has_the_loudness_of_b_stays(bursts):
    result = impose_loudness(bursts, bursts)
    inner = slice(2048, -2048)  # frames that hang over an end count as quiet
    np.testing.assert_allclose(result.samples[inner], bursts.samples[inner], rtol=1e-4)


@pytest.mark.parametrize("silent", ["sound", "b", "both"])
def test_silence_stays_finite_and_silent(hiss, silent):
    silence = Sound(np.zeros_like(hiss.samples), hiss.rate)
    sound = hiss if silent == "b" else silence
    b = hiss if silent == "sound" else silence
    for result in (impose_loudness(sound, b), articulate(sound, b, stft=STFT_44)):
        assert np.isfinite(result.samples).all()
    assert np.abs(impose_loudness(sound, b).samples).max() < 1e-4


def test_flux_is_the_mean_rise_of_the_bands():
    bands = np.zeros((4, 40))
    bands[1, :20] = 8
    bands[2] = 4
    bands[3] = -100  # floored 60 dB under the highest
    np.testing.assert_allclose(spectral_flux(bands), [0, 4, 2, 0])


def test_articulation_leans_into_the_onsets_of_b(hiss, bursts):
    plain = impose_loudness(hiss, bursts)
    leaning = articulate(plain, bursts, stft=STFT_44)
    flux, before, after = (
        spectral_flux(bands_db(sound, stft=STFT_44))
        for sound in (bursts, plain, leaning)
    )
    old, new = (np.corrcoef(flux, x)[0, 1] for x in (before, after))
    assert new > old


def test_articulation_turns_all_channels_alike(hiss, bursts):
    result = articulate(hiss, bursts, stft=STFT_44)
    gain = result.samples / hiss.samples
    np.testing.assert_allclose(gain[:, 0], gain[:, 1], rtol=1e-5)


def test_articulation_stays_within_its_limit(hiss, bursts):
    result = articulate(hiss, bursts, stft=STFT_44, limit_db=3)
    gain_db = 20 * np.log10(np.abs(result.samples / hiss.samples))
    # The cubic curve between two points overshoots by a fraction of their distance.
    assert 1 < np.abs(gain_db).max() < 4.5


def test_blocks_give_the_whole(hiss, bursts, monkeypatch):
    def both():
        return articulate(impose_loudness(hiss, bursts), bursts, stft=STFT_44).samples

    whole = both()
    monkeypatch.setattr(spectrum, "BLOCK_FRAMES", 16)
    # Products of matrices of another size add up in another order.
    np.testing.assert_allclose(both(), whole, atol=1e-5)


def test_a_sound_before_a_long_silence_stays_finite():
    # With this seed the running sum over six seconds ends a rounding under zero.
    rng = np.random.default_rng(5)
    samples = np.zeros((20 * 8000, 1), np.float32)
    samples[:48000, 0] = rng.standard_normal(48000) * np.repeat(rng.random(480), 100)
    sound = Sound(samples, 8000)
    result = articulate(sound, sound, stft=make_stft(8000, 512, 128))
    assert np.isfinite(result.samples).all()
