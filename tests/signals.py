"""Short signals that several test files are about."""

import numpy as np

RATE = 8000


def noise(
    n_samples: int = 2000, n_channels: int = 2, *, level: float = 0.1, seed: int = 0
) -> np.ndarray:
    """Make white noise that stays within [-level, level]."""
    rng = np.random.default_rng(seed)
    samples = rng.uniform(-level, level, (n_samples, n_channels))
    return samples.astype(np.float32)


def sine(
    n_samples: int = 8000,
    *,
    frequency: float = 220,
    level: float = 0.5,
    n_channels: int = 1,
) -> np.ndarray:
    """Make a sine: lossy formats keep its waveform, which noise would not survive."""
    wave = level * np.sin(2 * np.pi * frequency * np.arange(n_samples) / RATE)
    return np.repeat(wave[:, None], n_channels, axis=1).astype(np.float32)
