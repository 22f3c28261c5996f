"""The scores are what they are defined to be, at their ends and by hand."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.fft import dct
from scipy.spatial.distance import cdist

from helpers.audio import Sound, resample
from helpers.scores import Features, compare, features, group_alike, score

NAMES = ["timbre", "envelope", "onsets", "shape", "structure", "motion"]
NAMES += ["melody", "attack"]


@pytest.fixture(scope="module")
def a(tone):
    """Measure the tone."""
    return features(tone)


@pytest.fixture(scope="module")
def b(bursts):
    """Measure the bursts."""
    return features(bursts)


def cut(sound: Features, n_frames: int) -> Features:
    """Keep the first frames."""
    frames = {name: part[:n_frames] for name, part in sound._asdict().items()}
    return Features(**frames | {"step_power": sound.step_power})


def by_hand(descriptor, **fields) -> Features:
    """Make features of which only the first dimension of the descriptor varies."""
    n = len(descriptor)
    columns = np.zeros((n, 20))
    columns[:, 0] = descriptor
    constant = Features(
        bands_db=np.zeros((n, 40)),
        loudness_db=np.zeros(n),
        active=np.ones(n, bool),
        descriptor=columns,
        chroma=np.zeros((n, 36)),
        step_power=np.zeros(0),
    )
    return constant._replace(**fields)


def of_notes(*notes, active=None) -> Features:
    """Make features of frames that sound (pitch class, strength) each."""
    chroma = np.zeros((len(notes), 36))
    for frame, (pitch_class, strength) in enumerate(notes):
        chroma[frame, pitch_class] = strength
    heard = np.ones(len(notes), bool) if active is None else np.array(active)
    return by_hand(range(len(notes)), chroma=chroma, active=heard)


def of_steps(step_power) -> Features:
    """Make features of a sound whose power in steps of 2.5 ms is given."""
    return by_hand([0, 1], step_power=np.array(step_power, float))


def sine(hertz) -> Sound:
    """Make a second of a pure tone."""
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(44100) / 44100)
    return Sound(wave.astype(np.float32)[:, None], 44100)


def test_b_itself_has_no_timbre_of_a_and_all_structure(a, b, bursts):
    scores = compare(features(bursts, peak=True), a, b)
    assert list(scores) == NAMES
    # Bringing it to a peak of 1 moves it against floors of 1e-12 and 1e-9.
    assert scores["timbre"] == pytest.approx(0, abs=1e-4)
    assert scores["motion"] == pytest.approx(0, abs=1e-4)
    for name in ("envelope", "onsets", "shape", "structure", "melody"):
        assert scores[name] == pytest.approx(1, abs=1e-4)
    assert scores["attack"] == pytest.approx(0, abs=1e-4)


def test_a_itself_has_all_timbre_and_little_structure(a, b):
    scores = compare(cut(a, len(b.active)), a, b)
    assert scores["timbre"] == 1
    assert scores["motion"] == 1
    assert abs(scores["structure"]) < 0.5
    # By chance: the sounds have but a dozen frames that do not overlap.
    assert abs(scores["melody"]) < 0.3


def test_where_b_is_a_there_is_nothing_to_take(a):
    assert compare(a, a, a)["timbre"] == 1


def test_silence_scores_without_a_warning(a, b, bursts):
    silence = features(Sound(np.zeros_like(bursts.samples), bursts.rate), peak=True)
    scores = compare(silence, a, b)
    assert np.isfinite(list(scores.values())).all()
    # What does not move is related to nothing.
    for name in ("envelope", "onsets", "shape", "melody"):
        assert scores[name] == pytest.approx(0, abs=1e-9)


def test_steady_noise_has_neither_the_timbre_of_a_nor_the_structure_of_b(a, b):
    noise = np.random.default_rng(5).uniform(-1, 1, (44100, 1)).astype(np.float32)
    scores = compare(features(Sound(noise, 44100), peak=True), a, b)
    assert scores["timbre"] < 0.2
    # Loudness falls at both ends of every sound, in the frames that hang over them.
    assert scores["envelope"] < 0.9
    assert scores["structure"] < 0.7


def test_a_delayed_copy_of_b_loses_structure_but_gains_no_timbre(a, b, bursts):
    delayed = np.roll(bursts.samples, 2048, axis=0)
    scores = compare(features(Sound(delayed, bursts.rate), peak=True), a, b)
    assert abs(scores["timbre"]) < 0.05
    assert scores["envelope"] < 0.9
    assert scores["onsets"] < 0.5


def test_timbre_moves_with_the_share_of_a(a, b, tone, bursts):
    shares = [
        compare(
            features(
                Sound(
                    share * tone.samples[:44100] + (1 - share) * bursts.samples, 44100
                ),
                peak=True,
            ),
            a,
            b,
        )["timbre"]
        for share in (0, 0.5, 0.9, 1)
    ]
    assert shares == sorted(shares)


@pytest.mark.parametrize("n_samples", [2, 500, 2000, 5000, 9000])
def test_short_sounds_are_scored_as_far_as_they_go(n_samples, a, bursts):
    short = features(Sound(bursts.samples[:n_samples], bursts.rate))
    scores = compare(short, a, short)
    assert list(scores) == NAMES
    assert scores["timbre"] == pytest.approx(0, abs=1e-6)
    assert scores["envelope"] == pytest.approx(1)
    assert np.isnan(scores["motion"]) or scores["motion"] == pytest.approx(0, abs=1e-6)


def test_a_sound_that_is_gone_at_44100_hz_is_scored_as_silence(a):
    click = Sound(np.ones((5, 1), np.float32), 768_000)
    scores = compare(features(click, peak=True), a, features(click))
    assert list(scores) == NAMES
    assert np.isnan(scores["timbre"]) or scores["timbre"] == pytest.approx(0, abs=1e-6)


def test_timbre_by_hand():
    a, b, out = by_hand([0, 10]), by_hand([2, 14]), by_hand([0, 11, 11])
    # From A: out lies 0, 1 and 1 away, B 2 and 4; the scale is common to both.
    assert compare(out, a, b)["timbre"] == pytest.approx(1 - (2 / 3) / 3)


def test_motion_by_hand():
    steps = np.arange(9.0)
    a, b, out = by_hand(steps), by_hand(steps + 6), by_hand(steps + 3)
    # One stretch each, frames 0, 4 and 8: all three 3, or 6, away.
    assert compare(out, a, b)["motion"] == pytest.approx(0.5)


def test_envelope_and_onsets_by_hand():
    wanted, heard = [0, -100, -30, -60], [0, -60, -80, -60]
    quiet = np.array([0, 10, 10, 10.0])[:, None].repeat(40, axis=1)
    moved = np.array([0, 0, 10, 10.0])[:, None].repeat(40, axis=1)
    out = by_hand(range(4), loudness_db=np.array(heard), bands_db=moved)
    b = by_hand(range(4), loudness_db=np.array(wanted), bands_db=quiet)
    scores = compare(out, b, b)
    floored = np.corrcoef([0, -60, -30, -60], [0, -60, -60, -60])[0, 1]
    assert scores["envelope"] == pytest.approx(floored)
    # Fluxes of (10, 0, 0) and (0, 10, 0).
    assert scores["onsets"] == pytest.approx(-0.5)


def test_what_fades_is_no_onset():
    steps, fading = (
        by_hand(range(5), bands_db=np.repeat(np.array([levels]).T, 40, axis=1))
        for levels in ([0, 30, 30, 30, 40], [0, 30, 10, 9, 19])
    )
    # Both rise by 30 and by 10 dB, and not in between.
    assert compare(fading, steps, steps)["onsets"] == pytest.approx(1)


def test_what_is_measured_is_what_is_defined(tone, a):
    samples = tone.samples[:, 0].astype(float)
    i, start = 40, 39 * 512 - 1024  # frame 0 is centred one hop before the sound
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    power = np.abs(np.fft.rfft(samples[start : start + 2048] * window)) ** 2 + 1e-12
    assert a.loudness_db[i] == pytest.approx(10 * np.log10(power.sum()), abs=1e-6)
    hertz = np.arange(1025) * 44100 / 2048
    mel = np.linspace(*(2595 * np.log10(1 + np.array([40, 16000]) / 700)), 42)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bands = [
        power @ np.interp(hertz, edges[k : k + 3], [0, 1, 0]) + 1e-9 for k in range(40)
    ]
    # The weights of the bands are stored in single precision.
    np.testing.assert_allclose(a.bands_db[i], 10 * np.log10(bands), atol=1e-4)
    cepstrum = dct(10 * np.log10(bands), norm="ortho")[1:14]
    np.testing.assert_allclose(a.descriptor[i, :13], cepstrum, atol=1e-3)
    limits = [150, 300, 600, 1200, 2400, 4800, 9600, 16000]
    flatness = [
        10 * np.log10(np.exp(np.log(inside).mean()) / inside.mean())
        for low, high in pairwise(limits)
        for inside in [power[(hertz >= low) & (hertz < high)]]
    ]
    np.testing.assert_allclose(a.descriptor[i, 13:], flatness, atol=1e-6)


def test_timbre_is_the_mean_distance_to_the_nearest_frame(a, b):
    out = cut(b, 60)
    both = np.vstack([a.descriptor[a.active], b.descriptor[b.active]])
    rows = [x.descriptor[x.active] / both.std(axis=0) for x in (out, a, b)]
    near_out, near_b = (cdist(x, rows[1]).min(axis=1).mean() for x in rows[::2])
    out = b._replace(descriptor=out.descriptor, active=out.active)
    assert compare(out, a, b)["timbre"] == pytest.approx(1 - near_out / near_b)


def test_shape_looks_at_every_fourth_active_frame_and_pairs_four_apart(a, b):
    out = cut(a, len(b.active))
    chosen = np.flatnonzero(b.active)[::4]
    curves = [
        [
            np.linalg.norm(levels[i] - levels[j])
            for k, i in enumerate(chosen)
            for j in chosen[k + 4 :]
        ]
        for x in (out, b)
        for levels in [np.maximum(x.bands_db, x.bands_db.max() - 60)]
    ]
    expected = np.corrcoef(*curves)[0, 1]
    assert compare(out, a, b)["shape"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("notes", "melody"),
    [
        ([(0, 1), (5, 1), (9, 1)], 1),  # B's notes, however strong they are
        ([(0, 1), (0, 1), (0, 1)], 0),  # one of B's notes throughout: as by chance
        # Once right, once wrong, once silent: c = 1/2, c0 = (1/2 + 1/4) / 2.
        ([(0, 1), (0, 1), (0, 0)], (1 / 2 - 3 / 8) / (1 - 3 / 8)),
        # Two notes changed places: c = 1/4, c0 = 1/8 + 1/8 + 1/16.
        ([(5, 1), (0, 1), (9, 1)], (1 / 4 - 5 / 16) / (1 - 3 / 8)),
    ],
)
def test_melody_by_hand(notes, melody):
    b = of_notes((0, 6), (5, 3), (9, 3))  # weights 1/2, 1/4, 1/4: c1 = 3/8
    # Chroma are divided by their lengths plus 1e-9, so that silence has no pitch.
    assert compare(of_notes(*notes), b, b)["melody"] == pytest.approx(melody, abs=1e-7)


def test_where_b_is_not_heard_its_pitch_does_not_count():
    b = of_notes((0, 3), (5, 1), (9, 9), active=[True, True, False])
    out = of_notes((0, 1), (5, 1), (2, 1))
    assert compare(out, b, b)["melody"] == pytest.approx(1, abs=1e-7)


@pytest.mark.parametrize("strength", [0, 1])
def test_melody_is_nan_where_b_has_no_pitch_or_but_one(strength):
    b = of_notes((4, strength), (4, strength))
    assert np.isnan(compare(of_notes((0, 1), (1, 1)), b, b)["melody"])


def test_chroma_tells_the_pitch_whatever_its_octave():
    low, high = (
        features(sine(200 * 2 ** (7 / 36))),
        features(sine(1600 * 2 ** (7 / 36))),
    )
    for sound in (low, high):
        assert (sound.chroma[4:-4].argmax(axis=1) == 7).all()
        np.testing.assert_allclose(sound.chroma.sum(axis=1), 0, atol=1e-9)


def test_chroma_is_what_it_is_defined_to_be(tone, a):
    samples = tone.samples[:, 0].astype(float)
    i, start = 40, 39 * 512 - 2048  # around the same sample as the shorter frame
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(4096) / 4096)
    power = np.abs(np.fft.rfft(samples[start : start + 4096] * window)) ** 2
    hertz = np.arange(2049) * 44100 / 4096
    pitches = 100 * 2 ** (np.arange(216) / 36)
    level = np.interp(pitches, hertz, 10 * np.log10(power + 1e-9))
    mirrored = np.pad(level, 18, mode="symmetric")
    stands_out = [
        max(level[k] - np.mean(mirrored[k : k + 37]), 0) for k in range(len(level))
    ]
    chroma = [sum(stands_out[k::36]) for k in range(36)]
    np.testing.assert_allclose(a.chroma[i], chroma - np.mean(chroma), atol=1e-9)


def test_chroma_of_a_long_sound_does_not_know_of_blocks():
    notes = [sine(hertz).samples for hertz in (220, 277, 330, 247, 294, 370, 262)]
    whole = features(Sound(np.concatenate(notes), 44100))
    assert len(whole.chroma) == len(whole.active) > 512
    # The same from its 400th hop on.
    later = features(Sound(np.concatenate(notes)[400 * 512 :], 44100))
    np.testing.assert_allclose(later.chroma[8:-8], whole.chroma[408:-8], atol=1e-9)


def test_power_is_measured_in_steps_of_110_samples():
    samples = np.random.default_rng(0).uniform(-1, 1, (44100, 1)).astype(np.float32)
    expected = (samples[: 400 * 110].astype(float) ** 2).reshape(400, 110).mean(axis=1)
    found = features(Sound(samples, 44100)).step_power
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_motion_is_timbre_of_frames_with_those_4_and_8_later():
    rng = np.random.default_rng(0)
    a, b, out = (by_hand(rng.standard_normal(40)) for _ in range(3))
    scale = np.concatenate([a.descriptor[:, 0], b.descriptor[:, 0]]).std()
    rows_a, rows_b, rows_out = (
        np.stack([x.descriptor[k : k + 32, 0] / scale for k in (0, 4, 8)], axis=1)
        for x in (a, b, out)
    )
    far_b, far_out = (cdist(rows, rows_a).min(axis=1) for rows in (rows_b, rows_out))
    expected = 1 - far_out.mean() / far_b.mean()
    assert compare(out, a, b)["motion"] == pytest.approx(expected, rel=1e-6)


def test_a_transposed_b_has_lost_the_melody_but_not_the_envelope():
    notes = 2 ** (np.random.default_rng(3).integers(0, 12, 8) / 12)
    scores = {}
    b, same, other = (
        np.concatenate([sine(440 * note * shift).samples[:5000] for note in notes])
        for shift in (1, 2, 2 ** (2 / 12))  # an octave keeps the melody, two steps not
    )
    b = features(Sound(b, 44100))
    for name, samples in {"octave": same, "tone": other}.items():
        scores[name] = compare(features(Sound(samples, 44100), peak=True), b, b)
    assert scores["octave"]["melody"] > 0.9
    assert scores["tone"]["melody"] < 0.1
    assert scores["tone"]["envelope"] > 0.9


QUIET, LOUD = [1e-4] * 30, [1.0] * 5  # 40 dB apart: a rise of 30 at most


@pytest.mark.parametrize(
    ("before_db", "attack"), [(-40, 0), (-30, 0), (-20, 10), (0, 30)]
)
def test_attack_by_hand(before_db, attack):
    # The result is as loud as `before_db` all through the 75 ms ahead of the onset.
    out = of_steps([10 ** (before_db / 10)] * 30 + LOUD)
    b = of_steps(QUIET + LOUD)
    assert compare(out, b, b)["attack"] == pytest.approx(attack, abs=1e-6)


# B's onset is found as soon as its rise is within eight steps, at step 23. A click of
# the result before that lessens its rise if it is one of steps 13 to 21; its own rise
# may come up to step 34.
@pytest.mark.parametrize(
    ("click", "counts"), [(12, False), (13, True), (21, True), (22, False)]
)
def test_what_lies_before_an_onset_are_nine_steps_before_the_last(click, counts):
    b, out = of_steps(QUIET + LOUD), np.array(QUIET + LOUD)
    out[click] = 1
    attack = compare(of_steps(out), b, b)["attack"]
    assert attack == pytest.approx(30 - 10 * np.log10(9) if counts else 0, abs=0.01)


@pytest.mark.parametrize(("late", "attack"), [(4, 0), (5, 30)])
def test_an_attack_may_come_a_little_late(late, attack):
    b = of_steps(QUIET + LOUD * 2)
    out = of_steps(QUIET + [1e-4] * late + LOUD * 2)
    assert compare(out, b, b)["attack"] == pytest.approx(attack, abs=1e-6)


def test_attack_is_the_median_over_onsets():
    b = of_steps((QUIET + LOUD) * 3)
    smeared = [[level] * 30 + LOUD for level in (1e-4, 1e-2, 1)]  # 0, 10, 30 dB
    out = of_steps(np.concatenate(smeared))
    assert compare(out, b, b)["attack"] == pytest.approx(10, abs=1e-6)


def test_onsets_are_at_least_20_steps_apart_and_rise_by_15_db():
    click, rest = [1.0], [1e-4] * 11
    b = of_steps(QUIET + click + rest + click + QUIET + [10**-2.6])
    # The second click comes 12 steps after the first, the last rises by only 14 dB:
    # the result rises with none of the two.
    out = of_steps(QUIET + [1.0] * (1 + 11 + 1 + 30 + 1))
    assert compare(out, b, b)["attack"] == pytest.approx(0, abs=1e-6)


# An onset is found at the first step from which its rise is within eight: 7 ahead. The
# second of two is another one if that is 20 steps later at some step of its eight.
@pytest.mark.parametrize(("apart", "attack"), [(12, 0), (13, 15)])
def test_onsets_that_are_20_steps_apart_both_count(apart, attack):
    first, rest = [*QUIET, 1.0], [1e-4] * 30
    b = of_steps([*first, *rest[: apart - 1], 1.0, *rest])
    out = of_steps([*first, *rest[:apart], *rest])  # without the second: 30 dB less
    assert compare(out, b, b)["attack"] == pytest.approx(attack, abs=1e-6)


def test_attack_is_nan_where_b_has_no_sharp_onset(a):
    assert np.isnan(compare(a, a, a)["attack"])


def test_a_pre_echo_costs_attack_and_a_lower_level_does_not(a):
    rng = np.random.default_rng(4)
    bursts = np.zeros(44100)
    bursts[8820::8820] = 1
    noise = rng.uniform(-0.3, 0.3, 400) * np.exp(-np.arange(400) / 80)
    clicks = np.convolve(bursts, noise)[:44100, None].astype(np.float32)
    hiss = rng.uniform(-1e-4, 1e-4, clicks.shape).astype(np.float32)
    early = np.roll(clicks, -1500, axis=0) / 2  # 34 ms ahead
    b = features(Sound(clicks + hiss, 44100))
    quieter = features(Sound((clicks + hiss) / 8, 44100), peak=True)
    echo = features(Sound(clicks + early + hiss, 44100), peak=True)
    assert compare(quieter, a, b)["attack"] == pytest.approx(0, abs=1e-4)
    # A quarter of the power in one of nine steps: a rise of 10 log10(4 * 9) = 16 dB,
    # or some dB off as the clicks meet the steps, in place of 30.
    assert compare(echo, a, b)["attack"] == pytest.approx(14, abs=4)


def test_active_frames_are_within_45_db_of_the_loudest(b):
    expected = b.loudness_db > b.loudness_db.max() - 45
    np.testing.assert_array_equal(b.active, expected)


def test_a_result_is_brought_to_a_peak_of_1(bursts, b):
    # Before its channels are averaged or after: of one channel it is the same.
    mono = Sound(bursts.samples[:, :1] / 8, bursts.rate)
    gain_db = -20 * np.log10(np.abs(mono.samples).max())
    plain, full = features(mono), features(mono, peak=True)
    loud = plain.loudness_db > 0
    np.testing.assert_allclose(
        full.loudness_db[loud] - plain.loudness_db[loud], gain_db, atol=1e-6
    )


def test_the_first_minute_counts(bursts):
    long = Sound(np.resize(bursts.samples[::44, :1], (61_500, 1)), 1000)
    assert len(features(long).step_power) == 60 * 44100 // 110


def test_sounds_are_measured_at_44100_hz(tone, a):
    other = features(resample(tone, rate=48000))
    np.testing.assert_allclose(other.loudness_db[4:90], a.loudness_db[4:90], atol=0.1)


def test_a_table_of_scores_has_a_row_for_each_sound(tone, bursts):
    n = min(tone.n_samples, bursts.n_samples)
    # A peak of 1, as the scores give to a result, so that the floors stay in place.
    a, b = (
        Sound(sound.samples[:n] / np.abs(sound.samples[:n]).max(), sound.rate)
        for sound in (tone, bursts)
    )
    board = score({"B itself": b, "A itself": a}, a, b)
    assert list(board["model"]) == ["B itself", "A itself"]
    # The channels are averaged after that, so the peak moves a little once more.
    assert board["timbre"].tolist() == pytest.approx([0, 1], abs=0.03)
    assert board["structure"][0] == pytest.approx(1, abs=0.03)


def test_sounds_that_can_hardly_be_told_apart_are_grouped(tone, bursts):
    rng = np.random.default_rng(0)
    trace = 0.001 * rng.standard_normal(tone.samples.shape).astype(np.float32)
    sounds = {
        "tone": tone,
        "noise": Sound(rng.uniform(-0.1, 0.1, tone.samples.shape), tone.rate),
        "quieter": Sound(tone.samples / 2, tone.rate),  # all are brought to one peak
        "with a trace of noise": Sound(tone.samples + trace / 10, tone.rate),
    }
    assert group_alike(sounds) == [
        ["tone", "quieter", "with a trace of noise"],
        ["noise"],
    ]
    assert len(group_alike(sounds, within_db=0.0)) == 4
