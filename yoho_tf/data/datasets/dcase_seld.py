"""DCASE's sound event localisation sets (STARSS23, stereo 2025): check only.

Readers of their tables and the model are those of the SELD system.
"""

from pathlib import Path

from yoho_tf.data.datasets import base, report

INFO = base.Info(
  name="dcase_seld",
  title="DCASE task 3: STARSS23 (first-order ambisonics), stereo 2025",
  published="Zenodo 15087603 (2025); earlier years: dcase.community",
  licence="MIT",
  citation="Shimada et al., STARSS23, NeurIPS 2023",
  labels=(),
  sample_rate_hz=24_000,
)
_AUDIO = {"foa_dev": 4, "stereo_dev": 2}  # folder -> channels
_PARTS = ("dev-train-sony", "dev-train-tau", "dev-test-sony", "dev-test-tau")


def check(root, *, full=False) -> report.Report:
  """Every WAV must have a CSV of the same relative stem; video may be there.

  One of the audio folders is enough.
  """
  checker = report.Checker(INFO, root, {}, full=full)
  root, any_audio = Path(root), False
  for folder, channels in _AUDIO.items():
    found = sorted((root / folder).glob("dev-*/*.wav"))
    if not found:
      checker.add(f"{folder}/", "not there", state="absent")
      continue
    any_audio = True
    for part in _PARTS:
      own = [path for path in found if path.parent.name == part]
      lost = [
        path.name for path in own if not _table(root, part, path.stem).is_file()
      ]
      name, text = f"{folder}/{part}", f"{len(own)} files"
      if lost:
        text += (
          f", {len(own) - len(lost)} tables; first missing "
          f"{_table('', part, Path(lost[0]).stem).as_posix()}"
        )
      if not own:
        text = f"first missing {name}/*.wav"
      state = "ok" if own and not lost else "missing"
      checker.add(name, text, state=state)
    checker.audio(
      {path.relative_to(root).as_posix(): path for path in found},
      channels=(channels,),
    )
  if not any_audio:
    text = f"one of {', '.join(_AUDIO)} expected, none found"
    checker.add("audio", text, state="missing")
    checker.add("metadata_dev/", "first missing *.csv", state="missing")
  videos = len(list((root / "video_dev").rglob("*.mp4")))
  state = "ok" if videos else "absent"
  checker.add("video_dev/", f"{videos} files (not required)", state=state)
  return checker.report()


def _table(root, part, stem):
  return Path(root, "metadata_dev", part, f"{stem}.csv")
