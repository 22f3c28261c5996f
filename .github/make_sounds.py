"""Make the README's sounds: `.venv/bin/python .github/make_sounds.py`."""

import sys
from pathlib import Path

import soundfile

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # a script starts with its own folder on the path only

from helpers.convolution import predictive_convolution  # noqa: E402
from helpers.finishing import finish  # noqa: E402
from helpers.sound import Sound, load  # noqa: E402

SOUNDS = ROOT / ".github" / "sounds"
MELODY = {  # A_to_B, and how far A is led to B's notes
    "voice_to_drums": 0.0,
    "bell_to_bird": 0.0,
    "voice_to_music_box": 1.0,
}


def render(name: str) -> Sound:
    """Render one of them, as the notebook would, from the demo sounds in its name."""
    a, b = (load(ROOT / "input_audio" / f"{one}.wav") for one in name.split("_to_"))
    return finish(predictive_convolution(a, b, melody=MELODY[name]))


def main() -> None:
    """Write each as an MP3 of about 120 kbit/s, which any browser plays."""
    SOUNDS.mkdir(exist_ok=True)
    for name in MELODY:
        sound = render(name)
        path = SOUNDS / f"{name}.mp3"
        soundfile.write(path, sound.samples, sound.rate, compression_level=0.4)


if __name__ == "__main__":
    main()
