"""Synthesise the demo sounds: ``python input_audio/make_demo_sounds.py``.

Each is a small physical model with its own seed, so the samples are the same every
time, to one step of their precision; all are free for any use. Bell and bar partials:
N. H. Fletcher and T. D. Rossing, *The Physics of Musical Instruments* (2nd ed.,
Springer 1998). Vowels: G. E. Peterson and H. L. Barney, "Control methods used in a
study of the vowels", JASA 24 (1952). Two voices of a bird: R. A. Suthers,
"Contributions to birdsong from the left and right sides of the intact syrinx", Nature
347 (1990).
"""

from pathlib import Path

import numpy as np
import soundfile
from numpy.random import Generator, default_rng
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, fftconvolve, sosfilt, sosfiltfilt

RATE = 44_100
PEAK_DB = -3.0  # room for a resampler or a codec to overshoot


def table(text: str) -> list[list[str]]:
    """Return rows, parted by bars, of words."""
    return [row.split() for row in text.split("|")]


def clock(seconds: float) -> np.ndarray:
    """Return the times in s of the samples of a stretch of sound."""
    return np.arange(round(seconds * RATE)) / RATE


def decay(seconds: float, t60: float) -> np.ndarray:
    """Return an exponential envelope that falls by 60 dB in `t60` s."""
    return np.exp(-6.91 / t60 * clock(seconds))


def hiss(rng: Generator, seconds: float, low: float, high: float) -> np.ndarray:
    """Return noise between two frequencies in Hz, of standard deviation 1."""
    band = butter(2, [low, high], "bandpass", fs=RATE, output="sos")
    noise = sosfilt(band, rng.standard_normal(round(seconds * RATE)))
    return noise / noise.std()


def modes(
    hertz: np.ndarray, t60: np.ndarray, gains: np.ndarray, seconds: float
) -> np.ndarray:
    """Sum sine waves that die away; `gains` are (n_modes, n_ears), sound (n, n_ears).

    A damped wave at sample `i * 512 + j` is a term in `i` times one in `j`, so the sum
    over all modes is one product of two small matrices.
    """
    n_samples = round(seconds * RATE)
    poles = (-6.91 / t60 + 2j * np.pi * hertz) / RATE
    coarse = np.exp(np.outer(np.arange(0, n_samples, 512), poles))
    fine = np.exp(np.outer(poles, np.arange(512)))
    ears = [((coarse * g) @ fine).imag.ravel()[:n_samples] for g in gains.T]
    return np.stack(ears, axis=1)


def place(
    mix: np.ndarray, note: np.ndarray, start: float, *, pan=0.0, gain=1.0
) -> None:
    """Add a note, (n,) or (n, 2), at `start` s; `pan` runs from -1 (left) to 1."""
    first = round(start * RATE)
    note = note.reshape(len(note), -1)[: len(mix) - first]
    sides = np.sin(np.pi / 4 * np.array([1 - pan, 1 + pan]))
    mix[first : first + len(note)] += gain * sides * note


def room(dry: np.ndarray, rng: Generator, *, t60: float, wet: float) -> np.ndarray:
    """Add a room: ten early echoes, then noise whose treble dies first, per ear."""
    wall = np.zeros((round(t60 * RATE), 2))
    for ear in wall.T:
        ear += hiss(rng, t60, 150, 2500) * decay(t60, t60)
        ear += hiss(rng, t60, 2500, 12_000) * decay(t60, t60 / 2)
        ear[: round(0.012 * RATE)] = 0
        echo = rng.integers(round(0.004 * RATE), round(0.05 * RATE), 10)
        ear[echo] += rng.choice([-9, 9], 10) * np.exp(-echo / (0.03 * RATE))
        ear /= np.linalg.norm(ear)
    crossed = 0.7 * dry + 0.3 * dry[:, ::-1]
    return dry + wet * fftconvolve(crossed, wall, axes=0)[: len(dry)]


def finish(sound: np.ndarray, *, fade_in=0.01, fade_out=0.05) -> np.ndarray:
    """Take out rumble, fade both ends, set the peak to `PEAK_DB`."""
    rumble = butter(2, 25, "highpass", fs=RATE, output="sos")
    sound = sosfiltfilt(rumble, sound, axis=0)
    for seconds, part in ((fade_in, sound), (fade_out, sound[::-1])):
        ramp = np.sin(np.pi / 2 * clock(seconds) / seconds) ** 2
        part[: len(ramp)] *= ramp[:, None]
    return sound * 10 ** (PEAK_DB / 20) / np.abs(sound).max()


def bell() -> np.ndarray:
    """Ring five church bells: beating inharmonic partials over low hums."""
    rng = default_rng(1)
    mix = np.zeros((round(7.0 * RATE), 2))
    # hum, prime, tierce, quint, nominal, tenth, eleventh, twelfth, octave nominal ...
    ratios = [0.5, 1, 1.183, 1.506, 2, 2.514, 2.662, 3.011, 4.166, 5.433, 6.796, 8.215]
    levels = [0.5, 0.5, 0.8, 0.15, 1, 0.3, 0.3, 0.6, 0.5, 0.4, 0.32, 0.25]
    score = table(  # s, MIDI key of the prime, pan, force
        """0.10 76 .4 .9 | 0.72 71 .1 .8 | 1.30 74 .2 .85 | 1.92 69 -.15 .85
        | 2.85 62 -.4 .9 | 3.62 74 .2 .6 | 4.22 76 .4 .7 | 4.86 69 -.15 .95"""
    )
    for start, key, pan, force in np.array(score, float):
        prime = 440 * 2 ** ((key - 69) / 12)
        clang = rng.uniform(9, 28, 40)  # the crowd of high modes that says "metal"
        ratio = np.r_[ratios, clang] * rng.normal(1, 0.0015, 52)
        level = np.r_[levels, 1.1 / clang] * rng.uniform(0.7, 1.3, 52)
        level *= np.exp(-ratio * (1 - force) / 6)  # a soft blow is a dull one
        # No casting is quite round: each mode is a pair, a Hz or so apart, and beats.
        hertz = prime * np.r_[ratio, ratio]
        hertz[52:] += rng.uniform(0.3, 1.6, 52) * (1 + ratio / 4)
        t60 = 6 * (440 / hertz) ** 0.8 * rng.uniform(0.8, 1.2, 104)
        gains = np.r_[level, level][:, None] * rng.normal(1, 0.35, (104, 2))
        gains[hertz > 17_000] = 0
        rung = modes(hertz, t60, gains, 6.95 - start)
        place(mix, rung, start, pan=pan, gain=force * (440 / prime) ** 0.1)
        knock = hiss(rng, 0.08, 1500, 12_000) * decay(0.08, 0.035)
        place(mix, knock, start, pan=pan, gain=0.5 * force**2)
    return finish(room(mix, rng, t60=1.8, wet=0.3), fade_out=1.2)


def chirp(
    rng: Generator, track: np.ndarray, seconds: float, *motion: float
) -> np.ndarray:
    """Glide through the `track` of kHz; `motion`: warble Hz, semitones; buzz Hz."""
    rate, depth, buzz = motion
    t, x = clock(seconds), clock(seconds) / seconds
    glide = PchipInterpolator(np.linspace(0, 1, len(track)), np.log(track))(x)
    warble = depth * np.log(2) / 12 * np.sin(2 * np.pi * rate * t)
    hertz = 1000 * np.exp(glide + warble)
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    tone = np.sin(phase) + 0.12 * np.sin(2 * phase)
    tone += 0.04 * np.sin(3 * phase) * np.clip(8 - hertz / 900, 0, 1)  # to 21 kHz only
    tone *= 1 + 0.25 * hiss(rng, seconds, 20, 200)  # breath that follows the tone
    tone += 0.012 * hiss(rng, seconds, 2500, 14_000)
    pulses = (0.5 - 0.5 * np.cos(2 * np.pi * buzz * t)) ** 1.5 if buzz else 1
    return tone * np.sin(np.pi * x**0.7) ** 0.8 * (1 - 0.35 * x) * pulses


def bird() -> np.ndarray:
    """Sing whistles, trills, warbles, a buzz and a two-voiced call, outdoors."""
    rng = default_rng(2)
    mix = np.zeros((round(6.4 * RATE), 2))
    song = [  # start, times, period, length; kHz; warble Hz, semitones; buzz Hz; gain
        (0.18, 1, 0, 0.36, (4.1, 2.9, 2.7, 3.4), 0, 0, 0, 0.9),
        (0.62, 1, 0, 0.30, (2.5, 3.9, 3.6, 3.1), 0, 0, 0, 1.0),
        (1.02, 10, 0.078, 0.060, (3.3, 6.3, 4.2), 0, 0, 0, 0.8),
        (1.90, 1, 0, 0.46, (4.6, 5.3, 3.9), 27, 2.2, 0, 0.8),
        (2.45, 1, 0, 0.34, (3.0, 3.6, 3.3), 0, 0, 115, 1.0),
        (2.90, 2, 0.23, 0.17, (3.9, 5.6, 4.4), 0, 0, 0, 0.1),  # a neighbour answers
        (3.46, 5, 0.112, 0.080, (7.9, 5.0, 2.9), 0, 0, 0, 0.8),
        (4.08, 2, 0.19, 0.15, (7.0, 7.8, 7.4), 60, 0.5, 0, 0.4),
        (4.50, 1, 0, 0.40, (2.3, 3.3, 3.5, 2.2), 0, 0, 0, 0.7),
        (4.53, 1, 0, 0.36, (5.4, 4.5, 4.9, 5.9), 18, 0.6, 0, 0.5),
        (4.98, 6, 0.102, 0.084, (2.8, 4.7, 3.5, 5.2), 0, 0, 0, 0.9),
        (5.62, 1, 0, 0.34, (3.0, 4.9, 3.2, 2.3), 0, 0, 0, 0.9),
        (6.06, 1, 0, 0.17, (3.9, 5.6, 4.4), 0, 0, 0, 0.1),
    ]
    for start, times, period, length, track, *motion, gain in song:
        for nth in range(times):
            note = chirp(rng, np.array(track) * rng.normal(1, 0.012), length, *motion)
            pan = 0.6 if gain == 0.1 else rng.normal(-0.25, 0.08)  # the head turns
            swell = gain * rng.uniform(0.85, 1.0) * (0.75 + 0.25 * (nth + 1) / times)
            place(mix, note, start + nth * period, pan=pan, gain=swell)
    mix = room(mix, rng, t60=0.9, wet=0.22)
    for ear in mix.T:  # leaves and distance, in slow gusts
        gusts = 1 + 0.3 * np.sin(2 * np.pi * (0.31 * clock(6.4) + rng.random()))
        ear += 0.0016 * gusts * hiss(rng, 6.4, 60, 900)
        ear += 0.0007 * gusts * hiss(rng, 6.4, 900, 12_000)
    return finish(mix, fade_in=0.08, fade_out=0.15)


def music_box() -> np.ndarray:
    """Play a waltz on a comb of steel tines, each a clamped-free bar, on a box."""
    rng = default_rng(3)
    mix = np.zeros((round(7.8 * RATE), 2))
    melody = """86 . 83 . 79 81  83 . . 81 79 76  84 . 88 . 84 83  81 . 78 . 79 81
        83 86 91 . 90 88  86 . 84 81 78 .  79"""  # MIDI keys, in quavers
    score = [(i, int(key)) for i, key in enumerate(melody.split()) if key != "."]
    chords = table("67 71 74|64 71 76|60 67 72|62 69 72|67 74 79|62 66 72|55 83 91")
    for bar, chord in enumerate(chords):
        score += [(6 * bar + 2 * beat, int(key)) for beat, key in enumerate(chord)]
    for quaver, key in score:
        start = 0.08 + 0.165 * quaver + 0.0006 * quaver**1.6  # the spring runs down
        bar = [1, 6.267, 17.55, 34.39] * rng.normal(1, [0, 0.02, 0.02, 0.03])
        # Two tines to a note, never quite in unison.
        hertz = 440 * 2 ** ((key - 69) / 12) * np.r_[bar, 1.0012 * bar]
        t60 = 2.4 * (600 / hertz[0]) ** 0.5 * np.tile([1, 0.35, 0.15, 0.08], 2)
        gains = np.tile([1, 0.6, 0.4, 0.25], 2) * rng.uniform(0.6, 1.2, 8)
        gains = gains[:, None] * np.exp(0.6j * rng.random((8, 2)))
        gains[hertz > 19_000] = 0
        force, pan = rng.uniform(0.8, 1.0) * (0.4 if key < 76 else 0.8), (key - 74) / 30
        place(mix, modes(hertz, t60, gains, 2.6), start, pan=pan, gain=force)
        pluck = hiss(rng, 0.03, 1800, 15_000) * decay(0.03, 0.02)
        place(mix, pluck, start, pan=pan, gain=0.25 * force)
    wood = 150 * 30 ** rng.random(80)  # resonances of the box in Hz
    box = modes(wood, rng.uniform(0.03, 0.08, 80), rng.normal(0, 1, (80, 1)), 0.1)
    mix += 0.45 * fftconvolve(mix, box / np.linalg.norm(box), axes=0)[: len(mix)]
    gears = 1 + np.sin(2 * np.pi * 13 * clock(7.8)) ** 3
    place(mix, gears * hiss(rng, 7.8, 700, 7000), 0, pan=-0.3, gain=0.002)
    return finish(room(mix, rng, t60=0.7, wet=0.2), fade_out=0.5)


def voice() -> np.ndarray:
    """Sing a phrase in two breaths: glottal pulses and air through moving formants."""
    rng = default_rng(4)
    hop, n_frames = 256, 1223
    vowels = table(  # formants in Hz: women's means, but "uh" and "m", set by ear
        """ee 310 2790 3310 | eh 610 2330 2990 | ah 850 1220 2810 | aw 590 920 2710
        | oo 370 950 2670 | uh 560 1500 2600 | m 270 1100 2500"""
    )
    score = table(  # s, MIDI key, vowel, voice, air; each holds until the next
        """0.00 57 uh 0 .00 | 0.10 57 uh 0 .40 | 0.42 57 m 0 .00 | 0.46 57 m .4 .01
        | 0.64 57 ah .7 .03 | 1.10 60 eh .8 .03 | 1.50 64 ee .9 .03 | 1.98 62 m .4 .01
        | 2.08 62 ah .9 .03 | 2.58 60 aw .7 .03 | 3.28 64 uh .0 .00 | 3.36 64 uh 0 .50
        | 3.68 64 ah .0 .00 | 3.86 64 ah 1. .04 | 4.34 67 eh 1. .03 | 4.74 65 ee .9 .03
        | 5.04 64 oo .8 .03 | 5.36 62 m .4 .01 | 5.46 62 aw .8 .03 | 5.84 57 ah .7 .03
        | 6.60 57 ah .3 .05 | 6.80 57 uh .0 .00"""
    )
    times = np.arange(n_frames) * hop / RATE
    start, key, vowel, level, air = (
        np.array(column) for column in zip(*score, strict=True)
    )
    row = np.searchsorted(start.astype(float), times, "right") - 1

    def glide(steps, frames):
        return gaussian_filter1d(np.asarray(steps, float)[row], frames, axis=0)

    def drift(frames):  # a slow random walk about 0, of standard deviation 1
        walk = gaussian_filter1d(rng.standard_normal(n_frames), frames)
        return walk / walk.std()

    # Vibrato sets in late in a note; pitch drifts, and jitters from pulse to pulse.
    held = np.clip((times - start.astype(float)[row] - 0.1) / 0.25, 0, 1)
    turns = np.cumsum(5.6 + 0.3 * drift(30)) * hop / RATE
    vibrato = 0.5 * gaussian_filter1d(held, 10) * np.sin(2 * np.pi * turns)
    bent = glide(key, 6) + vibrato + 0.1 * drift(25) + 0.03 * drift(1)
    inside = np.arange((n_frames - 1) * hop) / hop
    f0 = np.interp(inside, np.arange(n_frames), 440 * 2 ** ((bent - 69) / 12))
    # The sum of all harmonics, each `exp(-f / 3200)` loud lest it alias; undone below.
    phase = 2j * np.pi * np.cumsum(f0) / RATE
    pulses = (1 / (1 - np.exp(phase - f0 / 3200))).real - 1
    loud = glide(level, 4) * (1 + 0.04 * drift(2))
    source = pulses * np.interp(inside, np.arange(n_frames), loud)
    breath = np.diff(rng.standard_normal(len(inside) + 1))
    source += 4 * breath * np.interp(inside, np.arange(n_frames), glide(air, 6))

    # The vocal tract is a cascade of resonances; singers even out its loudness a bit.
    lookup = {name: formants for name, *formants in vowels}
    formants = glide([lookup[v] for v in vowel], 8) * (1 + 0.008 * drift(20)[:, None])
    hertz = np.fft.rfftfreq(8 * hop, 1 / RATE)
    tilt = np.exp(np.minimum(hertz, 14_000) / 3200) / np.maximum(hertz, 100) ** 0.9
    tract = np.tile(tilt.astype(complex), (n_frames, 1))
    for f in (*formants.T[:, :, None], *range(3800, 17_000, 1000)):
        tract /= 1 - (hertz / f) ** 2 + 1j * hertz * (60 + 0.04 * f) / f**2
    tract /= np.linalg.norm(tract, axis=1, keepdims=True) ** 0.5
    padded, wave = np.pad(source, 2 * hop), np.zeros(len(source) + 8 * hop)
    window = np.hanning(4 * hop + 1)[:-1]
    for i in range(n_frames):  # filter frame by frame, with room to ring; overlap, add
        frame = np.fft.rfft(window * padded[i * hop : (i + 4) * hop], 8 * hop)
        wave[i * hop : (i + 8) * hop] += np.fft.irfft(frame * tract[i])
    mix = np.zeros((len(source), 2))
    place(mix, wave[2 * hop : -6 * hop] / np.abs(wave).max(), 0)
    ess = hiss(rng, 0.2, 4500, 13_000) * np.sin(np.pi * clock(0.2) / 0.2) ** 0.7
    place(mix, ess, 3.66, gain=0.04)
    return finish(room(mix, rng, t60=1.6, wet=0.35), fade_out=0.2)


def thump(rng: Generator, low: float, drop: float, t60: float) -> np.ndarray:
    """Beat a drum skin: a click, a tone falling to `low` Hz from `drop` times it."""
    phase = np.cumsum(1 + (drop - 1) * decay(0.7, 0.2)) * 2 * np.pi * low / RATE
    skin = np.sin(phase) + 0.3 * np.sin(1.593 * phase) * decay(0.7, t60 / 2)
    click = 0.3 * hiss(rng, 0.7, 900, 7000) * decay(0.7, 0.03)
    return np.tanh(1.6 * (skin * decay(0.7, t60) + click))


def snare(rng: Generator) -> np.ndarray:
    """Beat a drum skin and the rattle of its wires."""
    rattle = hiss(rng, 0.7, 1200, 13_000) * decay(0.7, 0.28)
    return 0.6 * thump(rng, 190, 1.5, 0.2) + 0.35 * rattle


def cymbal(rng: Generator, low: float, t60: float, seconds: float) -> np.ndarray:
    """Beat a metal plate: inharmonic modes from `low` Hz up, unlike at each ear."""
    hertz = low * (17_000 / low) ** rng.random(260) ** 0.7
    gains = rng.normal(0, 0.08, (260, 1)) + rng.normal(0, 0.08, (260, 2))
    ring = modes(hertz, t60 * rng.uniform(0.4, 1.2, 260), gains, seconds)
    return ring * np.clip((seconds - clock(seconds)) / 0.04, 0, 1)[:, None] ** 2


def drums() -> np.ndarray:
    """Drum two and a half bars, full of holes."""
    rng = default_rng(5)
    mix = np.zeros((round(6.0 * RATE), 2))
    parts = [  # a letter is a sixteenth, X loud, x soft; pan, gain; stroke
        ("X.....x...X..x..X.....X.........X...X.", 0.0, 1.0, thump, (52, 4, 0.4)),
        ("....X..x....X..x....X.....xxX........X", 0.1, 1.0, snare, ()),
        (".............................X........", -0.4, 0.9, thump, (150, 1.5, 0.5)),
        ("..............................xX......", 0.5, 0.9, thump, (95, 1.5, 0.6)),
        ("X.x.X.xxX.x.X...X.x.X.............x...", -0.3, 0.2, cymbal, (3e3, 0.16, 0.3)),
        ("..............X.......X...............", -0.3, 0.2, cymbal, (2500, 1.2, 0.3)),
        ("................................X.....", 0.2, 0.2, cymbal, (500, 1.9, 1.5)),
    ]
    for pattern, pan, gain, stroke, settings in parts:
        for step, mark in enumerate(pattern):
            if mark != ".":
                start = 0.02 + 0.14 * step + 0.02 * (step % 2) + rng.uniform(0, 0.004)
                force = gain * rng.uniform(0.85, 1) * (1 if mark == "X" else 0.45)
                place(mix, stroke(rng, *settings), start, pan=pan, gain=force)
    return finish(np.tanh(room(mix, rng, t60=0.35, wet=0.15)), fade_in=0.002)


SOUNDS = {sound.__name__: (sound, "PCM_16") for sound in (bird, drums, music_box)}
SOUNDS |= {sound.__name__: (sound, "PCM_24") for sound in (bell, voice)}


def render(name: str) -> np.ndarray:
    """Return one sound as integers, (n_samples, 2): int16, or int32 for 24 bits.

    soundfile floors floats and keeps the top 24 bits of an int32: round, then shift.
    """
    function, subtype = SOUNDS[name]
    if subtype == "PCM_16":
        return np.rint(function() * 2**15).astype(np.int16)
    return np.rint(function() * 2**23).astype(np.int32) << 8


def main() -> None:
    """Write every sound beside this script."""
    for name, (_, subtype) in SOUNDS.items():
        path = Path(__file__).with_name(f"{name}.wav")
        soundfile.write(path, render(name), RATE, subtype=subtype)


if __name__ == "__main__":
    main()
