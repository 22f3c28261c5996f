"""Short signals that several test files are about, and what every error must be."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from helpers.sound import AudioError

RATE = 8000


def noise(
    n_samples: int = 2000, n_channels: int = 2, *, level: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Make white noise that stays within [-level, level]."""
    rng = np.random.default_rng(seed)
    samples = rng.uniform(-level, level, (n_samples, n_channels))
    return samples.astype(np.float32)


def sine(
    n_samples: int = 8000, *, hertz: float = 220, level: float = 0.5, rate: int = RATE
) -> np.ndarray:
    """Make a sine: lossy formats keep its waveform, which noise would not survive."""
    wave = level * np.sin(2 * np.pi * hertz * np.arange(n_samples) / rate)
    return wave.astype(np.float32)[:, np.newaxis]


def is_one_sentence(text: object) -> bool:
    """Tell whether a message is one line and one sentence, with its full stop."""
    words = str(text)
    return words.isprintable() and words.endswith(".") and ". " not in words


@contextmanager
def refused(said: str) -> Iterator[None]:
    """Expect an `AudioError` that is one sentence and matches `said`."""
    with pytest.raises(AudioError, match=said) as error:
        yield
    assert is_one_sentence(error.value)
