"""B's loudness and articulation, put onto another sound."""

import numpy as np
import pytest

from helpers import gesture
from helpers.audio import Sound
from helpers.gesture import (
    HOP,
    apply_gain,
    articulate,
    bands_db,
    impose_loudness,
    loudness_db,
    spectral_flux,
)
from helpers.spectrum import STFT

STFT_44 = STFT(44100)


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
    curve = loudness_db(Sound(square, 44100), 0)
    assert len(curve) == -(-8000 // HOP) + 1
    np.testing.assert_allclose(curve[3:-4], 10 * np.log10(0.625), atol=0.01)


def test_a_gain_passes_through_its_points(hiss):
    gains_db = np.random.default_rng(0).uniform(-6, 6, (2, 90))
    turned = apply_gain(hiss, gains_db, hop_length=500)
    ratio_db = 20 * np.log10(turned.samples[::500] / hiss.samples[::500])
    np.testing.assert_allclose(ratio_db, gains_db.T[: len(ratio_db)], atol=1e-3)


def test_an_even_gain_is_a_factor(hiss):
    turned = apply_gain(hiss, np.full((2, 90), 20 * np.log10(0.5)), hop_length=500)
    np.testing.assert_allclose(turned.samples, hiss.samples / 2, rtol=1e-5)


def test_a_sound_takes_on_the_loudness_of_b(hiss, bursts):
    envelope = 0.02 + np.sin(np.linspace(0, [9, 14], len(bursts.samples))) ** 2
    swelling = Sound(hiss.samples[::-1] * envelope.astype(np.float32), hiss.rate)
    result = impose_loudness(hiss, swelling)
    assert result.samples.shape == swelling.samples.shape
    for channel in range(2):
        own, wanted = (loudness_db(s, channel) for s in (result, swelling))
        assert correlation(own, wanted) >= 0.99
        # In level too, to what remains of the unevenness of noise in 23 ms.
        assert np.abs(own - wanted).mean() < 0.5


def test_sudden_onsets_are_softened_but_followed(hiss, bursts):
    result = impose_loudness(hiss, bursts)
    for channel in range(2):
        curves = (loudness_db(s, channel) for s in (result, bursts))
        assert correlation(*curves) > 0.95


def test_what_has_the_loudness_of_b_stays(bursts):
    result = impose_loudness(bursts, bursts)
    np.testing.assert_allclose(result.samples, bursts.samples, rtol=1e-4)


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
    monkeypatch.setattr(gesture, "BLOCK", 4096)
    # Products of matrices of another size add up in another order.
    np.testing.assert_allclose(both(), whole, atol=1e-5)


def test_a_sound_before_a_long_silence_stays_finite():
    # With this seed the running sum over six seconds ends a rounding under zero.
    rng = np.random.default_rng(5)
    samples = np.zeros((20 * 8000, 1), np.float32)
    samples[:48000, 0] = rng.standard_normal(48000) * np.repeat(rng.random(480), 100)
    sound = Sound(samples, 8000)
    result = articulate(sound, sound, stft=STFT(8000, 512, 128))
    assert np.isfinite(result.samples).all()
