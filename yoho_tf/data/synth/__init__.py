"""Scenes with exact strong labels, mixed from recordings.

`make_scene(pool, params, seed=, index=, labels=)` is a pure function of its
arguments: the same scene whatever the number of workers or the order of calls.
A scene is drawn as a recipe and then mixed; `mix_recipe` mixes it again.
"""

from yoho_tf.data.pool import active_span
from yoho_tf.data.synth.levels import active_rms, audible, trim
from yoho_tf.data.synth.mix import Scene, Stem, crop, mix_recipe
from yoho_tf.data.synth.recipe import Recipe, recipe_from_dict, recipe_to_dict
from yoho_tf.data.synth.scene import draw_recipe, make_scene

__all__ = [
  "Recipe",
  "Scene",
  "Stem",
  "active_rms",
  "active_span",
  "audible",
  "crop",
  "draw_recipe",
  "make_scene",
  "mix_recipe",
  "recipe_from_dict",
  "recipe_to_dict",
  "trim",
]
