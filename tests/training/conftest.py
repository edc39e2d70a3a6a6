import pytest

from tests.source_folder import source_folder  # noqa: F401 (a fixture)


@pytest.fixture(scope="module", autouse=True)
def small_grid():
  """Two combinations to tune instead of a hundred."""
  pytest.importorskip("keras")
  from yoho_tf.training import tune

  grid = {"low": (0.1, 0.3), "merge_gap_seconds": (0.16,)}
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tune, "GRID", grid)
    yield


@pytest.fixture(scope="module")
def eager_steps():
  """Trains without a graph: tracing costs more than a few small steps."""
  keras = pytest.importorskip("keras")
  compile_model = keras.Model.compile

  def compile_eagerly(self, *args, **kwargs):
    return compile_model(self, *args, run_eagerly=True, **kwargs)

  with pytest.MonkeyPatch.context() as patch:
    if keras.backend.backend() == "tensorflow":
      patch.setattr(keras.Model, "compile", compile_eagerly)
    yield
