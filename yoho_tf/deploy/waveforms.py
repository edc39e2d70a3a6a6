"""Any artefact behind the call that `predictor` makes, on windows of samples.

`{"waveform": [batch, samples]} -> {name: [batch, cells or patches, ...]}`,
whether the file takes waveforms of any length, of one length, or log-mels
(made by numpy then, layers/mel.py). No TensorFlow and no Keras here.
"""

from dataclasses import replace

import numpy as np

from yoho_tf.deploy import stateful
from yoho_tf.layers import mel
from yoho_tf.params import YohoParams


def network(opened, params):
  """A `runtime.Runtime` as what prediction calls; params for its windows.

  Args:
    opened: YOHO or YAMNet, `waveform` or `log_mel` its only input. Where its
      file offers the network behind the front end (`trunk`), that one runs,
      on log-mels of numpy: LiteRT's FFT takes twice as long.
    params: of the model.

  Raises:
    ValueError: other inputs, or a length that prediction does not cut.
  """
  if isinstance(params, YohoParams) and params.lattice == "stride":
    opened = opened.trunk or opened
  names = opened.input_names
  where = repr(opened.info.get("path", ""))
  if names not in (("waveform",), ("log_mel",)):
    raise ValueError(
      f"model must take waveform or log_mel alone; got {where}, which takes "
      f"{', '.join(names)}"
    )
  if names == ("log_mel",) and params.frontend.dialect != "yamnet":
    raise ValueError(
      "model must take waveform with the front end "
      f"{params.frontend.dialect!r}; got {where}, which takes log_mel"
    )
  if not isinstance(params, YohoParams):
    return _Patches(opened, params), params
  if params.lattice == "window":
    return _Windows(opened, params), params
  cells = _Cells(opened, params)
  if cells.fixed is None:
    if names == ("waveform",) and not opened.pads and cells.steps is None:
      return opened, params  # takes what is cut as it is
    return cells, params
  inference = replace(params.inference, window_cells=cells.fixed)
  return cells, replace(params, inference=inference)


class _Adapted:
  """The shared part: what to feed, and how much at once."""

  time_axis = -1

  def __init__(self, opened, params):
    self._opened, self._params = opened, params
    (self._name,) = opened.input_names
    shape = opened.input_shapes[self._name]
    item_rank = 1 if self._name == "waveform" else 2
    self._length = shape[-item_rank]  # samples or frames; -1 is free
    self._batch = shape[0] if len(shape) > item_rank else 1

  @property
  def input_names(self):
    return ("waveform",)

  @property
  def input_shapes(self):
    return {"waveform": (self._batch, self.time_axis)}

  @property
  def info(self):
    return self._opened.info

  def clone(self, **options):
    """Another one, for another thread."""
    return type(self)(self._opened.clone(**options), self._params)

  def _predict(self, waveforms):
    """`[batch, samples]` -> outputs."""
    if self._name == "log_mel":
      front = self._params.frontend
      waveforms = np.stack([mel.log_mel(row, front) for row in waveforms])
    return self._opened.predict({self._name: waveforms})


class _Cells(_Adapted):
  """YOHO on the lattice `stride`: k cells and `extra_samples` come in."""

  @property
  def fixed(self) -> int | None:
    """Cells of a file that takes one length."""
    if self._length == -1:
      return None
    step = self._params.STRIDE_FRAMES
    if self._name == "waveform":
      step = self._params.cell_samples
    return self._length // step

  @property
  def steps(self) -> "stateful.StepNetwork | None":
    """For streams: what runs a file that hears one cell at a time."""
    network = self._opened.network
    return network if isinstance(network, stateful.StepNetwork) else None

  def __call__(self, inputs):
    waveforms = inputs["waveform"]
    params = self._params
    size, extra = params.cell_samples, params.extra_samples
    cells = (waveforms.shape[1] - extra) // size
    if self.fixed is not None:
      more = max(0, self.fixed * size + extra - waveforms.shape[1])
      waveforms = np.pad(waveforms, ((0, 0), (0, more)))
    elif self._name == "waveform":
      # The file adds what its last frames need. The samples that stand there
      # now reach no cell that is kept: it would be `discard_right_cells` off.
      waveforms = waveforms[:, : cells * size]
    outputs = self._predict(waveforms)
    return {name: value[:, :cells] for name, value in outputs.items()}


class _Windows(_Adapted):
  """YOHO on the lattice `window`: windows of one length come in."""

  def __call__(self, inputs):
    outputs = self._predict(inputs["waveform"])
    if self._opened.info.get("format") == "saved_model":
      # It takes a whole recording, and counts the windows of each row: one.
      outputs = {name: value[:, 0] for name, value in outputs.items()}
    return outputs


class _Patches(_Adapted):
  """YAMNet: patches, every `patch_hop_samples`."""

  def __init__(self, opened, params):
    super().__init__(opened, params)
    wanted = params.patch_frames
    if self._name == "waveform":
      wanted = params.min_samples
      self.time_axis = self._length
    if self._length not in (-1, wanted):
      raise ValueError(
        f"model must take {wanted} {self._name} steps, one patch; got "
        f"{opened.info.get('path', '')!r}, which takes {self._length}"
      )

  def __call__(self, inputs):
    waveforms = inputs["waveform"]
    if self._name == "waveform":
      outputs = self._predict(waveforms)
    else:
      outputs = self._opened.predict({"log_mel": self._patches(waveforms)})
    return {
      name: value.reshape(len(waveforms), -1, value.shape[-1])
      for name, value in outputs.items()
      if name in ("scores", "embeddings")
    }

  def _patches(self, waveforms):
    """`[batch * patches, patch_frames, bands]`."""
    params = self._params
    size, hop = params.patch_frames, params.patch_hop_frames
    rows = [mel.log_mel(row, params.frontend) for row in waveforms]
    return np.stack(
      [
        row[first : first + size]
        for row in rows
        for first in range(0, len(row) - size + 1, hop)
      ]
    )
