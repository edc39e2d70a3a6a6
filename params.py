"""Facade, so that `import params` works in a clone, as it does in YAMNet."""

from yoho_tf.params import *
