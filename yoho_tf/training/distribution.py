"""One device, several, or several hosts: the same batch, the same curve.

TensorFlow: `tf.distribute.MirroredStrategy` on one host. JAX: Keras'
`DataParallel`, on any number of hosts. In both a step sees the batch that one
device would have seen, each device a part of it.
"""

import contextlib

import keras
import numpy as np


def join(coordinator: str, num_hosts: int, host: int) -> None:
  """Makes this process one of several; before anything else is computed.

  Args:
    coordinator: `address:port` of host 0.
    host: number of this one, from 0.
  """
  if keras.backend.backend() != "jax":
    raise ValueError(
      "several hosts need KERAS_BACKEND=jax; received "
      f"{keras.backend.backend()!r}"
    )
  if not 0 <= host < num_hosts:
    raise ValueError(f"host must lie in 0..{num_hosts - 1}; received {host}")
  keras.distribution.initialize(coordinator, num_hosts, host)


def num_hosts() -> int:
  return _jax().process_count() if _jax() else 1


def is_first_host() -> bool:
  """Whether this process writes files."""
  return not _jax() or _jax().process_index() == 0


def wait(name: str) -> None:
  """Until every host has come here."""
  if num_hosts() > 1:
    from jax.experimental import multihost_utils

    multihost_utils.sync_global_devices(name)


def agree(values: dict) -> dict:
  """The first host's numbers on every host: all stop at the same epoch."""
  if num_hosts() == 1:
    return values
  from jax.experimental import multihost_utils

  mine = np.array(list(values.values()), np.float32)
  first = multihost_utils.broadcast_one_to_all(mine)
  return dict(zip(values, (float(v) for v in first), strict=True))


def scope(devices: int, batch_size: int):
  """A function that makes the context for building and fitting a model.

  All contexts it makes are of one strategy: TensorFlow takes variables for
  foreign that were made under another one.

  Args:
    devices: number of devices of this host that take part.
    batch_size: of a step, over all hosts.

  Raises:
    ValueError: more devices than there are, or a batch that they cannot share.
  """
  hosts = num_hosts()
  if devices < 1 or batch_size % (devices * hosts):
    raise ValueError(
      f"devices must divide training.batch_size = {batch_size} evenly over "
      f"{hosts} host(s); received {devices}"
    )
  if devices * hosts == 1:
    return contextlib.nullcontext
  strategy = _data_parallel(devices) if _jax() else _mirrored(devices)
  return strategy.scope


def _data_parallel(devices):
  own = {}  # host -> its devices
  for device in _jax().devices():
    own.setdefault(device.process_index, []).append(device)
  _check_count(devices, min(len(some) for some in own.values()))
  return keras.distribution.DataParallel(
    devices=[
      f"{device.platform}:{device.id}"
      for some in own.values()
      for device in some[:devices]
    ],
    auto_shard_dataset=False,  # `HostShare` does it
  )


def _mirrored(devices):
  import tensorflow as tf

  found = tf.config.list_logical_devices("GPU")
  found = found or tf.config.list_logical_devices("CPU")
  _check_count(devices, len(found))
  return tf.distribute.MirroredStrategy([d.name for d in found[:devices]])


def _check_count(devices, available):
  if devices > available:
    raise ValueError(
      f"devices must be at most {available}, those of this host; received "
      f"{devices}"
    )


def synchronize(network) -> None:
  """Batch statistics over all devices under TensorFlow; JAX does so anyway."""
  if not _jax():
    for layer in network.layers:
      if isinstance(layer, keras.layers.BatchNormalization):
        layer.synchronized = True


class HostShare(keras.utils.PyDataset):
  """This host's rows of every batch.

  Each host makes the whole batch, so that it is the same on any number of
  them.
  """

  def __init__(self, batches, **kwargs):
    super().__init__(**kwargs)
    self.batches = batches
    self.host, self.hosts = _jax().process_index(), num_hosts()

  @property
  def epoch(self):
    return self.batches.epoch

  @epoch.setter
  def epoch(self, value):
    self.batches.epoch = value

  def __len__(self):
    return len(self.batches)

  def __getitem__(self, index):
    parts = self.batches[index]
    return tuple(np.split(part, self.hosts)[self.host] for part in parts)


def _jax():
  """The module where it is the backend, else None."""
  if keras.backend.backend() != "jax":
    return None
  import jax

  return jax
