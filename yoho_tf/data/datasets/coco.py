"""COCO 2017 detection: check only; the grounding system loads it."""

import json
from pathlib import Path

from yoho_tf.data.datasets import base, report

INFO = base.Info(
  name="coco",
  title="COCO 2017, instances",
  published="cocodataset.org",
  licence="annotations CC BY 4.0; images by their owners' terms",
  citation="Lin et al., ECCV 2014",
  labels=(),
  sample_rate_hz=0,
)
_TABLE = "annotations/instances_{}2017.json"
_IMAGES = "{}2017/*.jpg"
_NUM = {"val": 5000, "train": 118_287}  # images; train is not required
COUNTS = {
  template.format(split): count
  for split, count in _NUM.items()
  for template in (_TABLE, _IMAGES)
}


def check(root, *, full=False) -> report.Report:
  """Every image of the tables must be there; `full` changes nothing."""
  checker = report.Checker(INFO, root, COUNTS, full=full)
  for split in _NUM:
    table = _TABLE.format(split)
    pattern = _IMAGES.format(split)
    path = Path(root, table)
    if split == "train" and not path.exists():
      checker.add(table, "not there (not required)", state="absent")
      continue
    names = None
    try:
      images = json.loads(path.read_text(encoding="utf-8"))["images"]
      names = [f"{split}2017/{image['file_name']}" for image in images]
      checker.number(table, len(names), "images")
    except OSError:
      checker.number(table, 0, "images", missing=table)
    except (KeyError, TypeError, ValueError) as error:
      text = f"must be COCO's JSON; {type(error).__name__}: {error}"
      checker.add(table, text, state="broken")
    checker.files(pattern, names)
  return checker.report()
