"""Whatever is done to a file, reading it answers or raises ValueError."""

import warnings

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.formats.cases import CASES, TEXTGRID_SHORT
from tests.formats.tables import source_of
from yoho_tf.annotations import Annotations
from yoho_tf.formats import FORMATS

pytestmark = pytest.mark.edge

PIECES = (
  "", "\t", "\n", ",", '"', "x", "-1", "0,5", "1e9", "null", "[]", "{}", "<a>",
  "1e999", "nan", "\\", "#", "\x00", '"a"', "true", "9" * 400,
)  # fmt: skip
MORE = {"textgrid": TEXTGRID_SHORT}


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
@settings(max_examples=15)
def test_a_damaged_file_is_read_or_named(name, data):
  text = data.draw(st.sampled_from([CASES[name][1], MORE.get(name, "")]))
  for _ in range(data.draw(st.integers(1, 3))):
    at = data.draw(st.integers(0, len(text)))
    until = data.draw(st.integers(at, min(at + 12, len(text))))
    text = text[:at] + data.draw(st.sampled_from(PIECES)) + text[until:]
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
      found = FORMATS[name].read(source_of(text))
    except ValueError as error:
      assert str(error).startswith("clip.txt:")
      assert "\n" not in str(error)
    else:
      assert isinstance(found, Annotations)
