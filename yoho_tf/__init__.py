"""yoho_tf: which sounds are in a recording, and when.

    import yoho_tf

    model = yoho_tf.load(yoho_tf.list_models()[0])

Importing this package imports nothing else: no TensorFlow, no Keras, no
numpy. What a call needs is imported by that call.
"""

__version__ = "0.1.0"  # its only home: setup.py reads this line
__all__ = ["__version__", "list_models", "load"]


def list_models():
  """Returns the names that `load` knows, a list of str."""
  from yoho_tf import hub

  return hub.list_models()


def load(name, *, weights=None, **options):
  """Opens a model.

  Args:
    name: one of `list_models()`, or the path of a model file.
    weights: path of a weights file to use in place of the bundled or
      downloaded one.
    **options: passed on to `yoho_tf.hub.load`.

  Returns:
    What `yoho_tf.hub.load` returns.
  """
  from yoho_tf import hub

  return hub.load(name, weights=weights, **options)
