"""Pictures: drawn on the Axes given, with the right rows, edges and colours."""

import numpy as np
import pytest

pytest.importorskip("matplotlib")
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.colors import to_hex

from yoho_tf import viz
from yoho_tf.events import Event, EventTable
from yoho_tf.labels import colour
from yoho_tf.results import Detections, Tags

LABELS = ("Dog", "Rain", "Siren")
EVENTS = EventTable.from_rows(
  [
    Event(0.5, 1.5, "Dog", 0.25),
    Event(2, 3, "Dog"),
    Event(1, 4, "Siren", 1.0),
  ]
)


@pytest.fixture(autouse=True)
def closes_figures(monkeypatch):
  monkeypatch.setattr(plt, "show", lambda *_: pytest.fail("show() was called"))
  yield
  plt.close("all")


def detections(**changes):
  fields = {
    "labels": LABELS,
    "duration_seconds": 4.5,
    "scores": np.random.default_rng(0).uniform(0, 1, (15, 3)),
    "cell_seconds": 0.3,
    "filename": "a.wav",
    "model": "preset",
  }
  return Detections(EVENTS, **{**fields, **changes})


def bars(ax):
  """(left, right, row, colour, opacity) of every bar."""
  found = []
  for collection in ax.collections:
    for path, face in zip(collection.get_paths(), collection.get_facecolors()):
      box = path.get_extents()
      row = round((box.y0 + box.y1) / 2)
      found.append((box.x0, box.x1, row, to_hex(face), round(face[3], 3)))
  return found


def test_bars_lie_where_the_events_are():
  _, ax = plt.subplots()
  got = viz.plot_events(EVENTS, ax=ax, labels=LABELS, duration_seconds=4.5)
  assert got is ax
  assert bars(ax) == [
    (0.5, 1.5, 0, colour("Dog"), 0.55),
    (2.0, 3.0, 0, colour("Dog"), 1.0),
    (1.0, 4.0, 2, colour("Siren"), 1.0),
  ]
  assert [t.get_text() for t in ax.get_yticklabels()] == list(LABELS)
  assert ax.get_xlim() == (0, 4.5)
  assert ax.get_ylim() == (2.5, -0.5)  # The first class is on top.


def test_events_of_other_labels_are_an_error():
  with pytest.raises(ValueError, match=r"lacks \['Dog'\]"):
    viz.plot_events(EVENTS, labels=LABELS[1:], duration_seconds=4.5)


def test_spectrogram_covers_its_duration():
  ax = viz.plot_spectrogram(np.zeros((200, 64)), hop_seconds=0.01)
  image = ax.get_images()[0]
  assert image.get_extent() == [0, 2.0, 0, 64]
  assert image.origin == "lower" and image.get_array().shape == (64, 200)
  with pytest.raises(ValueError, match="log_mel must have shape"):
    viz.plot_spectrogram(np.zeros(200))


def test_a_long_spectrogram_is_thinned_but_keeps_its_axis():
  ax = viz.plot_spectrogram(np.zeros((100_000, 4)), hop_seconds=0.01)
  image = ax.get_images()[0]
  assert image.get_extent()[1] == 1000.0
  assert image.get_array().shape[1] < 20_000


def test_scores_take_a_cell_length_or_all_edges():
  scores = np.random.default_rng(0).uniform(0, 1, (4, 3))
  for cells, end in ((0.5, 2.0), ([0, 0.7, 1, 1.5, 1.9], 1.9)):
    ax = viz.plot_scores(scores, labels=LABELS, cell_seconds=cells)
    assert ax.get_xlim() == (0, end)
    drawn = ax.collections[0].get_array().reshape(3, 4)
    assert np.array_equal(drawn, scores.T)
  with pytest.raises(ValueError, match="cell_seconds must be one number or 5"):
    viz.plot_scores(scores, labels=LABELS, cell_seconds=[0, 1])
  with pytest.raises(ValueError, match=r"shape \[cells, 2\]"):
    viz.plot_scores(scores, labels=LABELS[:2], cell_seconds=1)


def test_detections_plot_draws_scores_beneath_the_bars():
  ax = detections().plot()
  curves = ax.patches
  assert len(curves) == len(LABELS)
  assert max(c.get_zorder() for c in curves) < min(
    c.get_zorder() for c in ax.collections
  )
  assert all(c.get_alpha() < 0.3 for c in curves)
  assert not detections(scores=None).plot().patches


def test_large_vocabularies_show_what_was_heard():
  labels = tuple(f"class {i}" for i in range(500)) + LABELS
  scores = np.zeros((15, 503))
  scores[3, 7] = 0.9
  found = detections(labels=labels, scores=scores)
  assert found.plot_labels() == ("Dog", "Siren")
  nothing = found.above(2)
  assert len(nothing.plot_labels()) == 5
  assert "class 7" in nothing.plot_labels()
  assert len(nothing.plot().get_yticklabels()) == 5


def test_prediction_shares_one_time_axis():
  fig = plt.figure()
  got = viz.plot_prediction(np.zeros((450, 64)), detections(), fig=fig)
  assert got is fig
  above, below = fig.axes
  assert above.get_xlim() == below.get_xlim() == (0, 4.5)
  assert above.get_title("left") == "a.wav · preset"
  fig.canvas.draw()
  assert viz.plot_prediction(np.zeros((450, 64)), detections()) is not fig


def test_tags_plot_shows_the_ten_best_classes():
  scores = np.random.default_rng(0).uniform(0, 1, (6, 30))
  start = 0.48 * np.arange(6)
  tags = Tags(
    labels=tuple(f"class {i}" for i in range(30)),
    scores=scores,
    embeddings=None,
    start=start,
    end=start + 0.96,
    valid_fraction=np.ones(6),
    clip_scores=scores.mean(axis=0),
    duration_seconds=3.3,
  )
  ax = tags.plot()
  assert [t.get_text() for t in ax.get_yticklabels()] == [
    name for name, _ in tags.top(10)
  ]
  assert ax.get_xlim() == (0, 3.3)
