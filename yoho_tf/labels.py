"""Class maps: which output column of a model stands for which sound.

A class map is a CSV file with the header `index,mid,display_name`, one row per
class, `index` counting from 0 in order. `mid` is the identifier of the class in
an ontology (AudioSet: /m/..., /t/..., /g/...) or empty.
"""

import csv
import difflib
import functools
import hashlib
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from yoho_tf.files import replace_text

HEADER = ("index", "mid", "display_name")
AUDIOSET_PREFIXES = ("/m/", "/t/", "/g/")
# Installed: inside the package. Clone or editable install: beside it.
FOLDERS = (
  Path(__file__).resolve().parent / "class_maps",
  Path(__file__).resolve().parent.parent / "class_maps",
)


@dataclass(frozen=True)
class ClassMap:
  """The vocabulary of a model, in output order.

  Attributes:
    names: one name per class, unique, stripped of outer blanks.
    mids: one ontology identifier per class, unique except for "". Left out:
      all "".
    namespace: "audioset" for AudioSet identifiers, else the file's stem.

  Raises:
    ValueError: no class, an empty name, a duplicate, or lengths that differ.
  """

  names: tuple[str, ...]
  mids: tuple[str, ...] = ()
  namespace: str = ""

  def __post_init__(self):
    if isinstance(self.names, str):
      raise ValueError(f"names must be a tuple of str, got {self.names!r}")
    names = tuple(self.names)
    mids = tuple(self.mids) or ("",) * len(names)
    object.__setattr__(self, "names", names)
    object.__setattr__(self, "mids", mids)
    if len(names) != len(mids):
      raise ValueError(
        f"mids must be as many as names, got {len(mids)} for {len(names)}"
      )
    problem = _find_problem(names, mids)
    if problem:
      raise ValueError(f"class {problem[0]}: {problem[1]}")

  @classmethod
  def read(cls, path) -> "ClassMap":
    """Reads a class map CSV (UTF-8, any line ends, quoted names).

    Args:
      path: the file.

    Raises:
      ValueError: with file, line, rule and what was found.
    """
    path = Path(path)
    names, mids, lines = [], [], []
    try:
      # newline="" leaves line ends to the csv module: quoted ones survive.
      with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        for row in reader:
          if not row:
            continue
          if not lines:
            _check_header(row, f"{path}:{reader.line_num}")
          else:
            _check_row(row, len(names), f"{path}:{reader.line_num}")
            mids.append(row[1].strip())
            names.append(row[2].strip())
          lines.append(reader.line_num)
    except UnicodeDecodeError as error:
      raise ValueError(f"{path}: text must be UTF-8, got {error}") from None
    except csv.Error as error:
      where = f"{path}:{reader.line_num}"
      raise ValueError(f"{where}: must be CSV, got {error}") from None
    if not names:
      raise ValueError(f"{path}:1: must hold {','.join(HEADER)} and classes")
    problem = _find_problem(names, mids)
    if problem:
      raise ValueError(f"{path}:{lines[problem[0] + 1]}: {problem[1]}")
    return cls(tuple(names), tuple(mids), _namespace(mids, path.stem))

  def text(self) -> str:
    """The class map as CSV."""
    rows = zip(range(len(self)), self.mids, self.names, strict=True)
    return csv_text([HEADER, *rows])

  def write(self, path) -> None:
    """Writes the class map as CSV, whole or not at all."""
    replace_text(path, self.text())

  @classmethod
  def bundled(cls, name: str) -> "ClassMap":
    """Reads `class_maps/<name>.csv` of this package.

    Raises:
      ValueError: no such map; lists those there are.
    """
    paths = {}
    for folder in FOLDERS:
      for path in sorted(folder.glob("*.csv")):
        # Other tables, such as spellings of names, may lie in the folder.
        if path.read_bytes().startswith(",".join(HEADER).encode()):
          paths.setdefault(path.stem, path)
    if name not in paths:
      raise ValueError(f"class map {did_you_mean(name, sorted(paths))}")
    return cls.read(paths[name])

  @classmethod
  def for_names(cls, names) -> "ClassMap":
    """The bundled map with exactly these names, else one without mids."""
    for folder in FOLDERS:
      for path in sorted(folder.glob("*.csv")):
        if path.stem != "aliases":
          found = cls.read(path)
          if found.names == tuple(names):
            return found
    return cls(tuple(names))

  @functools.cached_property
  def _indices(self) -> dict[str, int]:
    return {name: index for index, name in enumerate(self.names)}

  def index(self, name: str) -> int:
    """Column of a class.

    Raises:
      ValueError: the name is not in the map; names the nearest ones.
    """
    if name not in self._indices:
      raise ValueError(f"label {did_you_mean(name, self.names)}")
    return self._indices[name]

  def colour(self, name: str) -> str:
    """Colour "#rrggbb" of a class; depends on the name alone."""
    self.index(name)
    return colour(name)

  def __len__(self) -> int:
    return len(self.names)

  def __iter__(self) -> Iterator[str]:
    return iter(self.names)

  def __contains__(self, name) -> bool:
    return name in self._indices


def did_you_mean(name: str, options: Iterable[str]) -> str:
  """Ends an error message: rule, what was received, the nearest options.

  Args:
    name: what was asked for.
    options: what there is; listed when few, else only the nearest ones.
  """
  options = list(options)
  folded = {option.casefold(): option for option in reversed(options)}
  near = difflib.get_close_matches(str(name).casefold(), folded, cutoff=0.6)
  text = f"must be one of {len(options)} known ones, got {name!r}"
  if len(options) <= 12:
    text = f"must be one of {', '.join(options) or '(none)'}, got {name!r}"
  if near:
    text += f"; did you mean {' or '.join(repr(folded[n]) for n in near)}?"
  return text


@functools.lru_cache(maxsize=4096)
def colour(name: str) -> str:
  """Colour "#rrggbb" for a class name, the same in every plot and process.

  Hue and lightness come from a hash of the name, in OKLCH
  (https://bottosson.github.io/posts/oklab/), so that all colours look equally
  strong and stand out from white (contrast of at least 3 to 1).
  """
  digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
  hue = 2 * math.pi * int.from_bytes(digest[:2], "big") / 65536
  lightness = (0.52, 0.58, 0.64)[digest[2] % 3]
  chroma = 0.18
  rgb = _oklch_to_srgb(lightness, chroma, hue)
  while not all(0 <= value <= 1 for value in rgb):
    chroma -= 0.005  # Outside what a screen can show: paler, same hue.
    rgb = _oklch_to_srgb(lightness, chroma, hue)
  return "#" + "".join(f"{round(255 * value):02x}" for value in rgb)


def csv_text(rows: Sequence[Sequence], delimiter: str = ",") -> str:
  """CSV of rows, quoted where needed; None is an empty field."""
  for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC):
    text = io.StringIO()
    csv.writer(
      text, delimiter=delimiter, lineterminator="\n", quoting=quoting
    ).writerows(rows)
    # Python before 3.13 leaves a lone carriage return unquoted, and it would
    # read back as a line end: then quote every text.
    if "\r" not in text.getvalue():
      break
  return text.getvalue()


def _check_header(row: list[str], where: str) -> None:
  if tuple(field.strip() for field in row) != HEADER:
    raise ValueError(
      f"{where}: header must be {','.join(HEADER)}, got {','.join(row)!r}"
    )


def _check_row(row: list[str], expected_index: int, where: str) -> None:
  if len(row) != len(HEADER):
    raise ValueError(
      f"{where}: row must have {len(HEADER)} fields, got {len(row)}"
    )
  if row[0].strip() != str(expected_index):
    raise ValueError(
      f"{where}: index must count from 0 in order, here {expected_index}, "
      f"got {row[0]!r}"
    )


def _find_problem(names, mids) -> tuple[int, str] | None:
  """First class that breaks a rule: (index, message), or None."""
  if not names:
    return 0, "names must hold at least one class, got none"
  for field, values in (("display_name", names), ("mid", mids)):
    first = {}
    for index, value in enumerate(values):
      if not isinstance(value, str):
        return index, f"{field} must be a str, got {value!r}"
      if field == "display_name" and not value:
        return index, f"{field} must not be empty, got {value!r}"
      if value != value.strip():
        return index, f"{field} must have no outer blanks, got {value!r}"
      if value and first.setdefault(value, index) != index:
        return index, (
          f"{field} must be unique, got {value!r} again "
          f"(already index {first[value]})"
        )
  return None


def _namespace(mids, stem: str) -> str:
  given = [mid for mid in mids if mid]
  is_audioset = given and all(
    mid.startswith(AUDIOSET_PREFIXES) for mid in given
  )
  return "audioset" if is_audioset else stem


def _oklch_to_srgb(lightness, chroma, hue) -> tuple[float, float, float]:
  a, b = chroma * math.cos(hue), chroma * math.sin(hue)
  long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
  medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
  short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
  linear = (
    4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
    -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
    -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
  )
  # The sRGB transfer curve; its linear foot also serves values below 0.
  return tuple(
    12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
    for value in linear
  )
