"""A long sound is worked through in blocks, and nobody hears where they meet."""

import numpy as np
import pytest

from helpers import audio, frames, gesture
from helpers.audio import Sound, Spool, gather
from helpers.convolution import Pair
from helpers.mastering import finish
from helpers.models import make_model
from helpers.spectrum import by_blocks

RATE = 8000


def phrase(seed, seconds=3.0):
    """Make a stereo phrase of eight notes a second with noisy onsets."""
    rng = np.random.default_rng(seed)
    t = np.arange(RATE // 8)[:, None] / RATE
    notes = [
        (
            np.sin(2 * np.pi * rng.uniform(200, 900) * (seed + 1) * t)
            + np.exp(-80 * t) * rng.standard_normal(t.shape)
        )
        * np.exp(-8 * t)
        * rng.uniform(0.1, 0.3, size=2)
        for _ in range(int(8 * seconds))
    ]
    return Sound(np.concatenate(notes).astype(np.float32), RATE)


def in_small_blocks(monkeypatch):
    """Let everything be long: on disk, and in blocks of 48 frames or fewer."""
    monkeypatch.setattr(audio, "IN_MEMORY", 1000)
    monkeypatch.setattr(audio, "BLOCK", 5000)
    monkeypatch.setattr(gesture, "BLOCK", 48 * 512)
    monkeypatch.setitem(by_blocks.__kwdefaults__, "block_frames", 48)
    monkeypatch.setitem(frames.describe.__kwdefaults__, "block_frames", 48)


def spooled(sound):
    size = {"n_samples": sound.n_samples, "n_channels": sound.n_channels}
    return Sound(gather([sound.samples], **size), sound.rate)


@pytest.mark.parametrize("name", ["nearest_path", "ridge", "linear_regression"])
def test_blocks_and_whole_give_the_same_sound(name, monkeypatch):
    a, b = phrase(0), phrase(1, 6.0)
    model, recipe = make_model(name)
    settings = {"n_fft": 512, "hop_length": 128}
    whole = finish(Pair(a, b, **settings).render(model, recipe=recipe))
    in_small_blocks(monkeypatch)
    a, b = spooled(a), spooled(b)
    result = finish(Pair(a, b, **settings).render(model, recipe=recipe))
    assert isinstance(b.samples, Spool)
    assert isinstance(result.samples, Spool)
    # Frames that are borrowed are the same to the last digit; eight rounds of phase
    # reconstruction add up the rounding of float32. It stays under one step of 16 bits.
    np.testing.assert_allclose(np.asarray(result.samples), whole.samples, atol=2**-15)
