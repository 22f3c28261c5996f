"""Classic convolution, the yardstick, and its options."""

import numpy as np
import pytest
from scipy.fft import rfft

from helpers.audio import AudioError, Sound, resample
from helpers.classic import classic_convolution


def small(*columns, rate=8000) -> Sound:
    """Make a sound of a few samples."""
    return Sound(np.array(columns, np.float32).T, rate)


def test_it_is_a_convolution_of_bs_length_and_peak_1():
    a, b = [0.5, -0.25, 0.125], [1, 0, 0.5, 0.25, -1, 0.5]
    expected = np.convolve(a, b)[:6]
    result = classic_convolution(small(a), small(b))
    assert result.rate == 8000
    # The FFT is of double precision, the result is stored in single.
    expected = (expected / np.abs(expected).max())[:, None]
    np.testing.assert_allclose(result.samples, expected, atol=1e-6)


def test_each_channel_of_b_meets_its_own_of_a():
    a, b = np.random.default_rng(0).uniform(-1, 1, (2, 3, 50))
    result = classic_convolution(small(*a[:2]), small(*b)).samples
    pairs = ((b[0], a[0]), (b[1], a[1]), (b[2], a[1]))
    expected = np.transpose([np.convolve(*pair)[:50] for pair in pairs])
    expected /= np.abs(expected).max()
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_a_is_brought_to_the_rate_of_b(tone):
    b = small([1, *np.zeros(9999)], rate=22050)
    result = classic_convolution(tone, b)
    expected = resample(tone, rate=22050).samples[:10_000]
    assert result.rate == 22050
    np.testing.assert_allclose(
        result.samples, expected / np.abs(expected).max(), atol=1e-6
    )


def test_ring_modulation_is_a_product_with_a_repeated():
    a, b = [1, -0.5], [1, 0.5, 0.25, 0.5, 0.75]
    result = classic_convolution(small(a), small(b), ring=True)
    expected = [1, -0.25, 0.25, -0.25, 0.75]
    np.testing.assert_allclose(result.samples[:, 0], expected, atol=1e-6)


def test_brightening_is_a_difference():
    a, b = [1, 0], [0.5, 0.5, -0.5, 0]
    result = classic_convolution(small(a), small(b), brighten=True)
    np.testing.assert_allclose(result.samples[:, 0], [0.5, 0, -1, 0.5], atol=1e-6)


def test_a_window_fades_the_impulse():
    a, b = [1, 1, 1, 1], [1, 0, 0, 0, 0]
    result = classic_convolution(small(a), small(b), window="hann")
    np.testing.assert_allclose(result.samples[:, 0], [0, 0.5, 1, 0.5, 0], atol=1e-6)
    with pytest.raises(AudioError, match="no window 'fadeout'"):
        classic_convolution(small(a), small(b), window="fadeout")


@pytest.mark.parametrize("moving_seconds", [0.1, 60])
def test_a_moving_impulse_as_long_as_a_or_longer_stands_still(moving_seconds):
    rng = np.random.default_rng(0)
    a, b = small(*rng.uniform(-1, 1, (2, 800))), small(*rng.uniform(-1, 1, (2, 4001)))
    still, moving = (
        classic_convolution(a, b, moving_seconds=seconds).samples
        for seconds in (None, moving_seconds)
    )
    # Windows that overlap by half add up to one.
    np.testing.assert_allclose(moving, still, atol=1e-5)


def test_the_shortest_moving_impulse_is_two_samples():
    a, b = small(np.linspace(0.2, 1, 100)), small(np.ones(200))
    short = classic_convolution(a, b, moving_seconds=1e-9).samples
    two = classic_convolution(a, b, moving_seconds=2 / 8000).samples
    np.testing.assert_array_equal(short, two)
    assert short.any()


def test_the_shortest_moving_impulse_sounds_for_two_samples():
    a, b = small(np.linspace(0.2, 1, 100)), small([0, 0, 1, *np.zeros(97)])
    result = classic_convolution(a, b, moving_seconds=1e-9).samples[:, 0]
    # What an FFT leaves of a silence is far under a millionth.
    assert np.flatnonzero(np.abs(result) > 1e-6).tolist() == [2, 3]


def test_a_moving_impulse_begins_at_the_beginning_of_a():
    wave = np.random.default_rng(0).uniform(-1, 1, 9000)
    a, b = small(wave), small([1, *np.zeros(99)])  # A goes by 90 times as fast as B
    result = classic_convolution(a, b, moving_seconds=50 / 8000).samples[:, 0]
    heard = wave[:50] / np.abs(wave[:50]).max()
    np.testing.assert_allclose(result, [*heard, *np.zeros(50)], atol=1e-6)


@pytest.mark.parametrize("value", [0, np.nan])
def test_what_is_no_sound_is_refused_by_name(value):
    good, bad = small([1, 0.5]), small([value, value])
    with pytest.raises(AudioError, match=r"^Sound A "):
        classic_convolution(bad, good)
    with pytest.raises(AudioError, match=r"^Sound B "):
        classic_convolution(good, bad)


def test_a_that_is_gone_at_the_rate_of_b_is_refused():
    click, b = small([1, 1, 1], rate=768_000), small(np.ones(2000), rate=1000)
    with pytest.raises(AudioError, match=r"^Sound A, at the rate of .* 2 samples"):
        classic_convolution(click, b)


def test_a_moving_impulse_goes_through_a_while_b_goes_by():
    # A is a ramp, so that its level tells which stretch of it is heard; B is steady.
    a, b = small(np.linspace(0.2, 1, 8000)), small(np.ones(8000))
    result = classic_convolution(a, b, moving_seconds=50 / 8000).samples[:, 0]
    # From 50 samples on, each sample is the sum of one whole stretch, which lags by 50
    # at most and is 50 long: .8 * 100 / 8000 in all.
    expected = np.linspace(0.2, 1, 8000)[50:]
    np.testing.assert_allclose(result[50:], expected, rtol=0, atol=0.01)


def test_a_moving_impulse_has_the_pitch_of_its_moment():
    seconds = np.arange(8000) / 8000
    hertz = np.where(seconds < 0.5, 500, 2000)
    a = small(np.sin(2 * np.pi * hertz * seconds))
    b = small(np.random.default_rng(0).uniform(-1, 1, 8000))
    result = classic_convolution(a, b, moving_seconds=0.1).samples[:, 0]
    early, late = (np.abs(rfft(x)).argmax() for x in (result[:2000], result[-2000:]))
    # 2000 samples at 8 kHz: a bin is 4 Hz; the impulse of 0.1 s is 10 Hz wide.
    assert early * 4 == pytest.approx(500, abs=20)
    assert late * 4 == pytest.approx(2000, abs=20)
