"""Phases that overlapping frames agree about."""

import numpy as np
import pytest

from helpers.phase import griffin_lim
from helpers.spectrum import STFT

STFT_512 = STFT(44100, 512, 128)


@pytest.fixture(scope="module")
def spectrum(tone) -> np.ndarray:
    """Measure half a second of the tone."""
    return STFT_512.analyse(tone.samples[:22050, 0])


def inconsistency(spectrum) -> float:
    """Measure how far a spectrum is from that of its own sound."""
    heard = np.abs(STFT_512.transform(STFT_512.inverse(spectrum)))
    return np.linalg.norm(heard - np.abs(spectrum)) / np.linalg.norm(spectrum)


@pytest.fixture(scope="module")
def scrambled(spectrum) -> np.ndarray:
    """Give it random phases."""
    turn = np.random.default_rng(0).uniform(-np.pi, np.pi, spectrum.shape)
    return (np.abs(spectrum) * np.exp(1j * turn)).astype(np.complex64)


@pytest.mark.parametrize("momentum", [0, 0.99])
def test_rounds_make_frames_agree(spectrum, scrambled, momentum):
    found = [
        griffin_lim(
            np.abs(spectrum), scrambled, stft=STFT_512, n_rounds=n, momentum=momentum
        )
        for n in (0, 4, 32)
    ]
    none, some, many = (inconsistency(result) for result in found)
    assert none > some > many
    assert many < none / 3


@pytest.mark.parametrize("n_rounds", [0, 1, 5])
def test_magnitudes_stay_as_they_were_given(spectrum, scrambled, n_rounds):
    magnitude = np.abs(spectrum)
    found = griffin_lim(magnitude, scrambled, stft=STFT_512, n_rounds=n_rounds)
    assert found.dtype == np.complex64
    # One division, one product and one root in single precision.
    np.testing.assert_allclose(np.abs(found), magnitude, rtol=1e-6)


def test_the_spectrum_of_a_sound_stays(spectrum):
    found = griffin_lim(np.abs(spectrum), spectrum, stft=STFT_512, n_rounds=4)
    np.testing.assert_allclose(found, spectrum, atol=1e-3 * np.abs(spectrum).max())


def test_magnitudes_survive_a_silent_first_guess(spectrum):
    magnitude = np.abs(spectrum)
    found = griffin_lim(magnitude, np.zeros_like(spectrum), stft=STFT_512, n_rounds=2)
    np.testing.assert_allclose(np.abs(found), magnitude, rtol=1e-6)
