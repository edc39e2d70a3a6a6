"""Flickr8k with spoken captions: check only; the grounding system loads it."""

from pathlib import Path

from yoho_tf.data.datasets import base, report

INFO = base.Info(
  name="flickr8k",
  title="Flickr8k and the Flickr Audio Caption Corpus",
  published=(
    "images: forms.illinois.edu (Flickr8k); audio: "
    "groups.csail.mit.edu/sls/downloads/flickraudio"
  ),
  licence="audio CC BY-SA; images by their owners' terms",
  citation="Hodosh et al., 2013; Harwath and Glass, 2015",
  labels=(),
  sample_rate_hz=16_000,
)
_LISTS = {
  "Flickr_8k.trainImages.txt": 6000,
  "Flickr_8k.devImages.txt": 1000,
  "Flickr_8k.testImages.txt": 1000,
}
_TOKENS = "Flickr8k.token.txt"
_IMAGES = "Images/*.jpg"
_AUDIO = "flickr_audio/wavs/*.wav"
COUNTS = {**_LISTS, _IMAGES: 8000, _AUDIO: 40_000}


def check(root, *, full=False) -> report.Report:
  """Every listed image must be there, with five spoken captions."""
  checker = report.Checker(INFO, root, COUNTS, full=full)
  images, path = [], Path(root)
  for name in _LISTS:
    lines = []
    if (path / name).is_file():
      lines = (path / name).read_text(encoding="utf-8").split()
    missing = "" if lines else name
    checker.number(name, len(lines), "rows", missing=missing)
    images += lines
  there = (path / _TOKENS).is_file()
  text = "there" if there else f"first missing {_TOKENS}"
  checker.add(_TOKENS, text, state="ok" if there else "missing")
  names = [f"Images/{image}" for image in images] or None
  checker.files(_IMAGES, names)
  spoken = [
    f"flickr_audio/wavs/{Path(image).stem}_{number}.wav"
    for image in images
    for number in range(5)
  ]
  found = checker.files(_AUDIO, spoken or None)
  checker.audio(found, channels=(1,), seconds=(0.2, 60))
  return checker.report()
