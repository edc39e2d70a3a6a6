"""`python -m yoho_tf` is `yoho`."""

import sys

from yoho_tf.cli import main

if __name__ == "__main__":
  sys.exit(main())
