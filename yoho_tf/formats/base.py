"""The promise that every format keeps."""

from yoho_tf.annotations import COMPANIONS, Annotations
from yoho_tf.events import COLUMNS

EVENTS = ("filename", "start", "end", "label")
TIMES = ("start", "end", "label")
EVERYTHING = (*COLUMNS, *COMPANIONS)


class Format:
  """One way to write annotations down; a class is used, never an instance.

  Attributes:
    name: what `format=` takes.
    extensions: of its files, lower case, the usual one first.
    keeps: columns of the events and companions that it can hold;
      "extras.NAME" is one column of the extras.
    precision_seconds: 0 where times read back bit for bit.
    per_recording: one file per recording, which is named by the file's stem.
    file_ending: of such files, where it is more than an extension.
    whole_results: `text` also takes Detections and Tags as they are.
    options: further arguments of `read`.
    filenames: names, without an extension, that it is known by.
    opens: "file"; "folder" where `read_folder` and `folder_texts` take a
      folder of files as a whole, which reads as an instance of `holds`.
  """

  name = ""
  extensions: tuple[str, ...] = ()
  keeps: tuple[str, ...] = ()
  precision_seconds = 0.0
  per_recording = False
  file_ending = ""
  whole_results = False
  options: tuple[str, ...] = ()
  filenames: tuple[str, ...] = ()
  opens = "file"
  holds: type | None = None
  holds_text = ""

  @classmethod
  def sniff(cls, head: str) -> bool:
    """Whether a file that begins with `head` may be of this format."""
    return False

  @classmethod
  def read(cls, source, **options) -> Annotations:
    """Reads one `text.Source`."""
    raise ValueError(f"{source.path}: {cls.name} is not a format to read")

  @classmethod
  def text(cls, annotations) -> str:
    """What a file with these annotations holds."""
    raise ValueError(f"format {cls.name} is read only")

  @classmethod
  def can_write(cls) -> bool:
    """Whether the format has a writer."""
    return hasattr(cls, "folder_texts") or (
      cls.text.__func__ is not Format.text.__func__
    )
