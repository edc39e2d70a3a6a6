"""A loaded model: `predict(path or waveform)` -> `Detections` or `Tags`.

Whatever the network is stored in (deploy/runtime.py), audio goes through the
same steps: blocks, windows of whole cells or patches, network, `decode`.
`predict_many` gives the same results; short recordings share network calls.
"""

import collections
import contextlib
import functools
import itertools
import os
import queue
from concurrent import futures
from dataclasses import dataclass, replace

import numpy as np

from yoho_tf import audio, audio_checks, resampling
from yoho_tf.models import yamnet, yoho
from yoho_tf.models.yoho_windows import join_windows, run_windows, window_plan
from yoho_tf.params import YamnetParams, YohoParams
from yoho_tf.windows import iter_windows

# Of one network call: enough to keep a processor busy, little memory.
_PATCHES_AT_ONCE = 64
_WINDOW_SECONDS_AT_ONCE = 128.0


def num_processors() -> int:
  """That this process may use."""
  with contextlib.suppress(AttributeError):  # not on every system
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def _is_path(source):
  return isinstance(source, str | os.PathLike)


def _blocks(source, sample_rate_hz, rate, resampler):
  """Blocks of float32 samples at `rate`, and a name for the source."""
  if _is_path(source):
    blocks = audio.read_blocks(source, sample_rate_hz=rate, resampler=resampler)
    # A name that is not UTF-8 stays printable.
    return blocks, os.fsencode(source).decode("utf-8", "backslashreplace")
  waveform = audio_checks.check_waveform(source)
  if sample_rate_hz not in (None, rate):
    waveform = resampling.resample(
      waveform, sample_rate_hz, rate, resampler=resampler
    )
  return [waveform], ""


@dataclass(frozen=True)
class Model:
  """What `yoho_tf.load` returns.

  Attributes:
    name: preset or file.
    params: resolved params, tuned post-processing included.
    network: `{input: array} -> {output: array}`.
  """

  name: str
  params: YamnetParams | YohoParams
  network: object

  @property
  def labels(self) -> tuple[str, ...]:
    return self.params.labels

  def with_params(self, params) -> "Model":
    """The same network with other post-processing."""
    return replace(self, params=params)

  def predict_many(
    self,
    sources,
    *,
    sample_rate_hz: int | None = None,
    resampler="soxr",
    batch_seconds: float = 600.0,
    errors: str = "raise",
  ):
    """Results of many recordings, in the order of `sources`.

    Reads ahead until it holds `batch_seconds` of audio. Windows of one length,
    of whatever recording, go through the network together where it takes more
    than one (a bundled `.tflite` does not). A file that is longer is read in
    blocks, as by `predict`.

    Args:
      sources: paths or waveforms, as `predict` takes them; may be endless.
      sample_rate_hz, resampler: as `predict`.
      batch_seconds: audio in memory at once.
      errors: "raise" ends at the first source that cannot be read, after the
        results before it; "yield" gives its `AudioError` in its place.

    Yields:
      What `predict` returns, or an `AudioError`.
    """
    if errors not in ("raise", "yield"):
      raise ValueError(f"errors must be raise or yield; received {errors!r}")
    if not batch_seconds > 0:
      raise ValueError(f"batch_seconds must be > 0; received {batch_seconds!r}")
    rate = self.params.frontend.sample_rate_hz
    options = {"sample_rate_hz": sample_rate_hz, "resampler": resampler}
    waiting, num_samples = [], 0  # (samples, name), or an error
    for source in sources:
      try:
        if _is_path(source) and (
          audio.info(source).duration_seconds > batch_seconds
        ):
          yield from self._answers(waiting)
          waiting, num_samples = [], 0
          yield self.predict(source, **options)
          continue
        blocks, name = _blocks(source, sample_rate_hz, rate, resampler)
        clip = np.concatenate(list(blocks)), name
        num_samples += len(clip[0])
      except audio.AudioError as error:
        if errors == "raise":
          yield from self._answers(waiting)
          raise
        clip = error
      waiting.append(clip)
      if num_samples >= batch_seconds * rate:
        yield from self._answers(waiting)
        waiting, num_samples = [], 0
    yield from self._answers(waiting)

  def _answers(self, waiting):
    clips = [clip for clip in waiting if isinstance(clip, tuple)]
    results = iter(self._predict_clips(clips))
    for clip in waiting:
      yield next(results) if isinstance(clip, tuple) else clip

  def _is_free(self, axis):
    """Whether the network takes any batch (axis 0) or length (axis 1)."""
    shapes = getattr(self.network, "input_shapes", {})
    return all(shape[axis] == -1 for shape in shapes.values())


@dataclass(frozen=True)
class YohoModel(Model):
  """Sound events by YOHO."""

  def predict(
    self, source, *, sample_rate_hz: int | None = None, resampler="soxr"
  ):
    """Events of one recording.

    Args:
      source: path of an audio file, or mono samples in [-1, 1], [samples].
      sample_rate_hz: of `source` where it is an array; default the model's.
      resampler: "soxr" or "resampy".

    Returns:
      `Detections`; `scores [cells, classes]` holds the presence of each cell.

    Raises:
      yoho_tf.audio_checks.AudioError: what cannot be read: the file, the
        rule.
    """
    rate = self.params.frontend.sample_rate_hz
    blocks, name = _blocks(source, sample_rate_hz, rate, resampler)
    parts = []
    for cells, length in self._run_all(window_plan(blocks, self.params)):
      parts.append(cells)
      num_samples = length  # known with the last window
    return self._decode(join_windows(parts, self.params), num_samples, name)

  def _run_all(self, windows):
    """Of `window_plan` -> kept cells and length, one by one, in order.

    Several windows run side by side, each in a thread with a network of its
    own; the next ones are read meanwhile. Few are in memory at a time.
    """
    windows = iter(windows)
    head = list(itertools.islice(windows, 2))
    windows = itertools.chain(head, windows)
    # A single window: all threads work on it.
    networks = self._networks if len(head) == 2 else [self.network]
    idle = queue.SimpleQueue()
    for network in networks:
      idle.put(network)

    def run(keep, samples, length):
      network = idle.get()
      try:
        return self._run(samples[None], network)[0, keep].copy(), length
      finally:
        idle.put(network)

    if len(networks) == 1:
      yield from itertools.starmap(run, windows)
      return
    with futures.ThreadPoolExecutor(len(networks)) as pool:
      running = collections.deque()
      try:
        for window in windows:
          running.append(pool.submit(run, *window))
          if len(running) > len(networks):
            yield running.popleft().result()
        while running:
          yield running.popleft().result()
      finally:
        for future in running:
          future.cancel()

  @functools.cached_property
  def _networks(self):
    """One per thread: of one thread each, or just the one there is."""
    info = getattr(self.network, "info", {})
    count = info.get("num_threads") or num_processors()
    if count == 1 or info.get("format") not in ("tflite", "manifest"):
      return [self.network]
    return [self.network.clone(num_threads=1) for _ in range(count)]

  def _predict_clips(self, clips):
    """Results of several recordings; windows of one length go together."""
    samples = 0  # of one call
    if self._is_free(0):
      rate = self.params.frontend.sample_rate_hz
      samples = _WINDOW_SECONDS_AT_ONCE * rate

    def batch_size(length):
      return max(1, int(samples / length))

    waveforms = [waveform for waveform, _ in clips]
    found = run_windows(
      self._run, waveforms, self.params, batch_size=batch_size
    )
    for output, (waveform, name) in zip(found, clips, strict=True):
      yield self._decode(output, len(waveform), name)

  def _run(self, windows, network=None):
    """`[batch, samples]` -> `[batch, cells, ...]`."""
    network = network or self.network
    return network({"waveform": windows})[self.params.output]

  def _decode(self, output, num_samples, name):
    params = self.params
    return yoho.decode(
      {params.output: output},
      params,
      duration_seconds=num_samples / params.frontend.sample_rate_hz,
      filename=name,
      model=self.name,
    )


@dataclass(frozen=True)
class YamnetModel(Model):
  """AudioSet scores by YAMNet."""

  def predict(
    self, source, *, sample_rate_hz: int | None = None, resampler="soxr"
  ):
    """Scores of one recording: `Tags`. Arguments as `YohoModel.predict`."""
    rate = self.params.frontend.sample_rate_hz
    blocks, name = _blocks(source, sample_rate_hz, rate, resampler)
    return self._predict_blocks(blocks, name)

  def _predict_blocks(self, blocks, name):
    """A few patches at a time, while the blocks come in."""
    params = self.params
    size, hop = params.min_samples, params.patch_hop_samples
    found = []
    for window, samples in iter_windows(
      blocks,
      cell_samples=hop,
      extra_samples=size - hop,
      window_cells=_PATCHES_AT_ONCE if self._is_free(1) else 1,
      discard_left_cells=0,
      discard_right_cells=0,
    ):
      count = window.end_cell - window.start_cell
      length = window.total_samples  # known with the last window
      if length is not None:
        count = params.num_patches(length) - window.start_cell
      if count > 0:
        found.append(self._run(samples[None, : (count - 1) * hop + size]))
    outputs = {
      key: np.concatenate([f[key][0] for f in found])[
        : params.num_patches(length)
      ]
      for key in found[0]
    }
    return self._decode(outputs, length, name)

  def _predict_clips(self, clips):
    """Clips of about one length go together, padded to the longest.

    A clip keeps its own number of patches and never hears its neighbours.
    """
    results = [None] * len(clips)
    num_patches = [self.params.num_patches(len(w)) for w, _ in clips]
    order = sorted(range(len(clips)), key=num_patches.__getitem__)
    while order:
      longest = num_patches[order[-1]]
      room = _PATCHES_AT_ONCE // longest if self._is_free(0) else 1
      if room < 2:
        clip = order.pop()
        waveform, name = clips[clip]
        results[clip] = self._predict_blocks([waveform], name)
        continue
      order, some = order[:-room], order[-room:]
      size = self.params.padded_samples(len(clips[some[-1]][0]))
      outputs = self._run(np.stack([_padded(clips[i][0], size) for i in some]))
      for row, i in enumerate(some):
        waveform, name = clips[i]
        own = {key: value[row] for key, value in outputs.items()}
        results[i] = self._decode(own, len(waveform), name)
    return results

  def _decode(self, outputs, num_samples, name):
    return yamnet.decode(
      outputs,
      self.params,
      duration_seconds=num_samples / self.params.frontend.sample_rate_hz,
      filename=name,
      model=self.name,
    )

  def _run(self, waveforms):
    """`[batch, samples]` -> `scores` and, where there are, `embeddings`."""
    outputs = self.network({"waveform": waveforms})
    names = ("scores", "embeddings")
    return {name: outputs[name] for name in names if name in outputs}


def _padded(waveform, num_samples):
  return np.pad(waveform, (0, num_samples - len(waveform)))
