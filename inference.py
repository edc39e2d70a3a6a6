"""Names the sounds in audio files: `python inference.py clip.wav`."""

import sys

from yoho_tf.cli import guard
from yoho_tf.cli.predict import main

if __name__ == "__main__":
  sys.exit(guard(main, prog="inference.py"))
