"""Networks of others that `yoho bench predict` times, written anew.

* `ina`: Doukhan et al., "An open-source speaker gender detection framework for
  monitoring gender equality", ICASSP 2018; the speech-music-noise network of
  inaSpeechSegmenter 0.8.0.
* `panns_cnn14`: Kong et al., "PANNs: large-scale pretrained audio neural
  networks for audio pattern recognition", 2020; Cnn14_DecisionLevelMax.

Both take `log_mel [batch, frames, bands]` and have random weights: those
published are not on a package index, and do not change how long it takes.
"""

import numpy as np

from yoho_tf.params import FrontendParams

# ---- inaSpeechSegmenter ------------------------------------------------------

INA_PATCH = (68, 21)  # frames of 10 ms, mel bands
INA_HOP_SECONDS = 0.02
# Filters, kernel, pooling after it.
_INA_CONVOLUTIONS = (
  (64, (7, 4), (4, 2)),
  (128, (3, 3), None),
  (128, (3, 3), (2, 2)),
  (256, (3, 3), (4, 1)),
)
_INA_DENSE = (256, 256, 256, 256)
_INA_CLASSES = 3  # speech, music, noise


def ina():
  """`log_mel [batch, 68, 21]` -> `[batch, 3]`, scores that add to 1."""
  from keras import Input, Model, layers

  source = Input(INA_PATCH, name="log_mel")
  x = layers.Reshape((*INA_PATCH, 1), name="image")(source)

  def norm_act(x, name):
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)

  for number, (filters, kernel, pool) in enumerate(_INA_CONVOLUTIONS, 1):
    name = f"conv{number}"
    x = norm_act(layers.Conv2D(filters, kernel, name=name)(x), name)
    if pool:
      x = layers.MaxPooling2D(pool, padding="same", name=f"pool{number}")(x)
  x = layers.Reshape((int(np.prod(x.shape[1:])),), name="flatten")(x)
  for number, units in enumerate(_INA_DENSE, 1):
    name = f"dense{number}"
    x = norm_act(layers.Dense(units, name=name)(x), name)
  x = layers.Dense(_INA_CLASSES, name="logits")(x)
  x = layers.Activation("softmax", name="scores")(x)
  return Model({"log_mel": source}, x, name="ina")


# ---- PANNs -------------------------------------------------------------------

PANNS_FRONTEND = FrontendParams(
  dialect="yoho",  # also divides by the peak, which takes no time
  sample_rate_hz=32_000,
  stft_window_seconds=0.032,  # 1024 samples
  stft_hop_seconds=0.010,  # 320
  mel_bands=64,
  mel_min_hz=50.0,
  mel_max_hz=14_000.0,
  transform="rfft",
  amin=1e-10,
  top_db=1e6,  # no floor
)
_PANNS_CHANNELS = (64, 128, 256, 512, 1024, 2048)
_PANNS_CLASSES = 527
_PANNS_RATIO = 32  # frames of the input for one of the output


def panns_cnn14():
  """`log_mel [batch, frames, 64]` -> scores `[batch, frames // 32, 527]`."""
  from keras import Input, Model, layers

  def norm(x, name):
    return layers.BatchNormalization(epsilon=1e-5, name=name)(x)

  source = Input((None, PANNS_FRONTEND.mel_bands), name="log_mel")
  x = norm(source, "bn0")
  x = layers.Reshape((-1, PANNS_FRONTEND.mel_bands, 1), name="image")(x)
  for block, channels in enumerate(_PANNS_CHANNELS, 1):
    for number in (1, 2):
      name = f"block{block}_conv{number}"
      x = layers.Conv2D(channels, 3, padding="same", use_bias=False, name=name)(
        x
      )
      x = layers.ReLU(name=f"{name}_relu")(norm(x, f"{name}_bn"))
    if block < len(_PANNS_CHANNELS):  # the last one's pooling is 1 by 1
      x = layers.AveragePooling2D(2, name=f"block{block}_pool")(x)
  bands, channels = x.shape[2:]
  x = layers.AveragePooling2D((1, bands), name="mean_bands")(x)
  x = layers.Reshape((-1, channels), name="sequence")(x)
  x = layers.Add(name="smooth")(
    [
      layers.MaxPooling1D(3, 1, padding="same", name="smooth_max")(x),
      layers.AveragePooling1D(3, 1, padding="same", name="smooth_mean")(x),
    ]
  )
  x = layers.Dense(channels, activation="relu", name="fc1")(x)
  x = layers.Dense(_PANNS_CLASSES, activation="sigmoid", name="scores")(x)
  return Model({"log_mel": source}, x, name="panns_cnn14")


def panns_events(scores, num_frames):
  """Scores `[frames // 32, 527]` of a clip -> its events, above .5.

  Every score stands for 32 frames, the last one for what remains.

  Returns:
    Rows `(class, first frame, end frame)`.
  """
  frames = np.repeat(scores, _PANNS_RATIO, axis=0)[:num_frames]
  frames = np.pad(frames, ((0, num_frames - len(frames)), (0, 0)), mode="edge")
  active = np.pad((frames > 0.5).astype(np.int8), ((1, 1), (0, 0)))
  change = np.diff(active, axis=0).T  # [classes, frames + 1]
  kind, start = np.nonzero(change == 1)
  end = np.nonzero(change == -1)[1]
  return np.stack([kind, start, end], axis=1)
