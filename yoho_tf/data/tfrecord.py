"""TFRecord files of `tf.train.Example` without TensorFlow.

A record is: its length (uint64), the masked CRC-32C of that, its bytes, the
masked CRC-32C of those; all little endian. The bytes are a protobuf message:
a map from name to a list of bytes, float32 or int64.
"""

import functools
import os
import struct

import numpy as np

from yoho_tf.files import replacing

_LANE_BYTES = 512  # checksummed side by side; a multiple of 4
_WIRE = {"bytes": 1, "float": 2, "int64": 3}  # field numbers in a Feature


class RecordError(ValueError):
  """A damaged record; names the file and the record (from 0)."""


# ---- CRC-32C ----------------------------------------------------------------


@functools.cache
def _byte_table():
  """uint32 [256]: the checksum register after one byte."""
  table = np.arange(256, dtype=np.uint32)
  for _ in range(8):
    table = (table >> 1) ^ np.where(table & 1, np.uint32(0x82F63B78), 0)
  return table.astype(np.uint32)


@functools.cache
def _word_tables():
  """uint32 [2, 65536]: what the low and the high half of a word become."""
  register = np.arange(65536, dtype=np.uint32)
  table = _byte_table()
  for _ in range(2):
    register = table[register & 255] ^ (register >> 8)
  high = register  # two bytes on; the low half needs four
  low = table[high & 255] ^ (high >> 8)
  return table[low & 255] ^ (low >> 8), high


@functools.cache
def _shift(level):
  """uint32 [32]: what each bit becomes behind 512 * 2**level zero bytes."""
  if level:
    return _apply(_shift(level - 1), _shift(level - 1))
  bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
  for _ in range(_LANE_BYTES):
    bits = _byte_table()[bits & 255] ^ (bits >> 8)
  return bits


def _apply(matrix, registers):
  """The linear map `matrix` uint32 [32] of registers uint32 [n]."""
  bits = (registers[:, None] >> np.arange(32, dtype=np.uint32)) & 1  # [n, 32]
  return np.bitwise_xor.reduce(bits * matrix, axis=1)


def crc32c(data) -> int:
  """CRC-32C (Castagnoli) of bytes.

  The register is linear in the data and zeros in front leave it 0: lanes of
  512 bytes are run side by side and joined in pairs.
  """
  data = np.frombuffer(data, np.uint8)
  size = len(data)
  if size < 64:
    register, table = 0xFFFFFFFF, _byte_list()
    for byte in data.tolist():
      register = table[(register ^ byte) & 255] ^ (register >> 8)
    return register ^ 0xFFFFFFFF
  num_lanes = -(-size // _LANE_BYTES)
  padded = np.zeros(num_lanes * _LANE_BYTES, np.uint8)
  padded[-size:] = data
  first = len(padded) - size
  padded[first : first + 4] ^= 255  # the register starts as all ones
  words = padded.view("<u4").reshape(num_lanes, -1).T.copy()
  low, high = _word_tables()
  lanes = np.zeros(num_lanes, np.uint32)
  for row in words:
    lanes ^= row
    lanes = low[lanes & 0xFFFF] ^ high[lanes >> 16]
  level = 0
  while len(lanes) > 1:
    if len(lanes) % 2:
      lanes = np.r_[np.uint32(0), lanes]
    lanes = _apply(_shift(level), lanes[::2]) ^ lanes[1::2]
    level += 1
  return int(lanes[0]) ^ 0xFFFFFFFF


@functools.cache
def _byte_list():
  return _byte_table().tolist()


def _masked(data) -> int:
  crc = crc32c(data)
  return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# ---- framing ----------------------------------------------------------------


def frame(payload: bytes) -> bytes:
  """One record as it stands in a file."""
  length = struct.pack("<Q", len(payload))
  head = length + struct.pack("<I", _masked(length))
  return head + payload + struct.pack("<I", _masked(payload))


def write(path, payloads) -> int:
  """Writes a file, whole or not at all; returns the number of records."""
  count = 0
  with replacing(path) as part, open(part, "wb") as file:
    for payload in payloads:
      file.write(frame(payload))
      count += 1
  return count


def offsets(path) -> np.ndarray:
  """int64 [records]: where each record begins; reads the lengths only.

  Raises:
    RecordError: a damaged length, or a file that ends inside a record.
  """
  found, position, size = [], 0, os.path.getsize(path)
  with open(path, "rb") as file:
    while position < size:
      file.seek(position)
      length = _read_length(file, path, len(found))
      found.append(position)
      position += 16 + length
      if position > size:
        raise RecordError(
          f"{path}: record {len(found) - 1}: must end inside the file of "
          f"{size} bytes; its length says {position}"
        )
  return np.array(found, np.int64)


def read_at(path, offset: int, index: int) -> bytes:
  """The record that begins at `offset`; `index` is for the message."""
  with open(path, "rb") as file:
    file.seek(offset)
    return _read(file, path, index)


def read(path):
  """Yields the records of a file, each checked.

  Raises:
    RecordError: for a damaged record, when it is reached.
  """
  with open(path, "rb") as file:
    index = 0
    while file.peek(1):
      yield _read(file, path, index)
      index += 1


def _read_length(file, path, index):
  head = file.read(12)
  if len(head) < 12:
    raise RecordError(
      f"{path}: record {index}: its head must have 12 bytes; got {len(head)}"
    )
  length, crc = struct.unpack("<QI", head)
  if _masked(head[:8]) != crc:
    raise RecordError(
      f"{path}: record {index}: its length must fit its checksum; got {length}"
    )
  return length


def _read(file, path, index):
  length = _read_length(file, path, index)
  payload = file.read(length)
  crc = file.read(4)
  if len(payload) + len(crc) < length + 4:
    raise RecordError(
      f"{path}: record {index}: must have {length + 4} bytes; the file ends "
      f"after {len(payload) + len(crc)}"
    )
  if struct.pack("<I", _masked(payload)) != crc:
    raise RecordError(
      f"{path}: record {index}: its {length} bytes must fit their checksum"
    )
  return payload


# ---- tf.train.Example -------------------------------------------------------


def encode_example(features: dict) -> bytes:
  """A `tf.train.Example`.

  Args:
    features: name -> bytes, str or a list of them; or numbers: floats make a
      float32 list, integers and bools an int64 list.
  """
  entries = []
  for name in sorted(features):
    feature = _encode_feature(name, features[name])
    entry = _field(1, name.encode()) + _field(2, feature)
    entries.append(_field(1, entry))
  return _field(1, b"".join(entries))


def _encode_feature(name, value):
  if isinstance(value, bytes | str):
    value = [value]
  if isinstance(value, list | tuple) and value:
    if isinstance(value[0], bytes | str):
      parts = [v.encode() if isinstance(v, str) else v for v in value]
      body = b"".join(_field(1, part) for part in parts)
      return _field(_WIRE["bytes"], body)
  array = np.atleast_1d(np.asarray(value))
  if array.dtype.kind == "f":
    body = array.astype("<f4").tobytes()
    return _field(_WIRE["float"], _field(1, body) if body else b"")
  if array.dtype.kind in "iub":
    body = b"".join(_varint(number) for number in array.tolist())
    return _field(_WIRE["int64"], _field(1, body) if body else b"")
  raise ValueError(
    f"feature {name!r} must be bytes, str or numbers, got {array.dtype}"
  )


def _field(number, body):
  return _varint(number << 3 | 2) + _varint(len(body)) + body


def _varint(value):
  value = int(value) & 0xFFFFFFFFFFFFFFFF  # negative: two's complement
  out = bytearray()
  while value > 127:
    out.append(value & 127 | 128)
    value >>= 7
  out.append(value)
  return bytes(out)


def decode_example(data) -> dict:
  """The inverse: name -> list of bytes, float32 array or int64 array.

  Raises:
    ValueError: what is not a `tf.train.Example`.
  """
  try:
    found = {}
    for _, features in _fields(memoryview(data)):
      for _, entry in _fields(features):
        pair = dict(_fields(entry))
        found[bytes(pair[1]).decode()] = _decode_feature(pair.get(2, b""))
    return found
  except (IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
    raise ValueError(
      f"record must be a tf.train.Example; got {len(data)} bytes that are "
      f"not ({type(error).__name__})"
    ) from None


def _decode_feature(data):
  for kind, body in _fields(data):
    parts = [part for _, part in _fields(body)]
    if kind == _WIRE["bytes"]:
      return [bytes(part) for part in parts]
    if kind == _WIRE["float"]:  # packed, or one field each
      return np.frombuffer(b"".join(parts), "<f4").astype(np.float32)
    numbers = []
    for part in parts:
      if isinstance(part, int):
        numbers.append(part)
        continue
      position = 0
      while position < len(part):
        number, position = _read_varint(part, position)
        numbers.append(number)
    return np.array(numbers, np.uint64).astype(np.int64)
  return []


def _fields(data):
  """Yields (number, bytes or int) of a message."""
  position = 0
  while position < len(data):
    key, position = _read_varint(data, position)
    if key & 7 == 2:
      size, position = _read_varint(data, position)
    elif key & 7 == 0:
      value, position = _read_varint(data, position)
      yield key >> 3, value
      continue
    elif key & 7 in (1, 5):
      size = 8 if key & 7 == 1 else 4
    else:
      raise KeyError(key)
    if position + size > len(data):
      raise IndexError(position)
    yield key >> 3, data[position : position + size]
    position += size


def _read_varint(data, position):
  value = shift = 0
  while True:
    byte = data[position]
    position += 1
    value |= (byte & 127) << shift
    if byte < 128:
      return value, position
    shift += 7
    if shift > 63:
      raise IndexError(position)
