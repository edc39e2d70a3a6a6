"""What a run trains on and is judged by: scenes, or records."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import keras

from yoho_tf.data import augment, pydataset, records, sources
from yoho_tf.training import evaluation


@dataclass(frozen=True)
class Material:
  """Batches, and files of known content.

  Attributes:
    batches: function of the first epoch -> what `fit` takes: a PyDataset, or
      an endless tf.data.Dataset.
    validation: function of a network -> `evaluation.Validation`, for the
      scores of each epoch.
    tuning: the same, to fit the post-processing on.
    test: the same, to report on, or None.
    negatives: the same, recordings with at most one known class each: what is
      heard besides is false, and limits the thresholds. Or None.
    about: what it is made of, as JSON: other material is another run.
    attribution: CSV of what is learnt from.
    explain: function of an exception from `fit` -> the one to raise.
  """

  batches: Callable
  validation: Callable
  tuning: Callable
  test: Callable | None
  about: dict
  attribution: str
  explain: Callable = lambda error: error
  negatives: Callable | None = None


def pools(
  folder, params, *, permissive_only: bool, splits=("train", "val")
) -> dict:
  """`{split: SourcePool}` of a manifest's splits.

  Field recordings that are kept for evaluation are left out.
  """
  exclude = sources.real_strong_ids(folder, split="val")
  return {
    split: sources.read_manifest(
      folder,
      split=split,
      labels=params.labels,
      permissive_only=permissive_only,
      exclude_ids=exclude if split != "train" else (),
      sample_rate_hz=params.frontend.sample_rate_hz,
    )
    for split in splits
  }


def of_scenes(
  pools, params, training, *, about, workers=1, negatives=None
) -> Material:
  """Scenes mixed on the fly.

  Args:
    pools: `{"train": SourcePool, "val": ..., maybe "test": ...}`.
    workers: threads that make batches.
    negatives: `evaluation.Validation` without a network.
  """
  rate = params.frontend.sample_rate_hz
  training = replace(
    training, scene=replace(training.scene, sample_rate_hz=rate)
  )

  def scenes(split, count):
    return lambda network: evaluation.Validation.of_scenes(
      network, pools[split], params, training, num_scenes=count, split=split
    )

  return Material(
    batches=lambda first_epoch: pydataset.SceneBatches(
      pools["train"],
      params,
      training,
      first_epoch=first_epoch,
      workers=workers,
    ),
    validation=scenes("val", training.num_validation_scenes),
    tuning=scenes("val", training.num_tuning_scenes),
    test=scenes("test", training.num_test_scenes) if "test" in pools else None,
    about=about,
    attribution=sources.attribution(pools["train"]),
    negatives=(lambda network: replace(negatives, network=network))
    if negatives and negatives.durations
    else None,
  )


def of_records(index, params, training, *, about=None, workers=1) -> Material:
  """Records with the splits "train", "val" and, maybe, "test".

  Args:
    index: `records.Index`, or the folder.
    workers: threads that make batches, where Keras calls for them; tf.data
      has its own.

  Raises:
    ValueError: records that do not fit the model, or without a split.
  """
  if not isinstance(index, records.Index):
    index = records.read_index(index)
  records.check_fits(index, params)
  for split in ("train", "val"):
    index.of(split)
  options = dict(
    batch_size=training.batch_size,
    seed=training.seed,
    settings=training.augmentation,
  )
  num_examples = index.num_examples("train")
  if num_examples < training.batch_size:
    raise ValueError(
      f"training.batch_size must be at most the {num_examples} examples of "
      f"split 'train'; received {training.batch_size}"
    )

  def batches(first_epoch):
    if keras.backend.backend() != "tensorflow":
      return pydataset.RecordBatches(
        index,
        params,
        first_epoch=first_epoch,
        steps_per_epoch=training.steps_per_epoch,
        workers=workers,
        **options,
      )
    from yoho_tf.data import pipeline

    steps = first_epoch * training.steps_per_epoch
    epoch, step = divmod(steps, num_examples // training.batch_size)
    return pipeline.record_dataset(
      index, params, first_epoch=epoch, first_step=step, **options
    )

  def explain(error):
    if keras.backend.backend() != "tensorflow":
      return error
    from yoho_tf.data import pipeline

    return pipeline.readable_error(error, index, "train")

  def files(split):
    return lambda network: evaluation.Validation.of_records(
      network, index, params, split=split
    )

  return Material(
    batches=batches,
    validation=files("val"),
    tuning=files("val"),
    test=files("test") if "test" in index.counts else None,
    about={
      "augmentation_of_records": augment.describe(training.augmentation),
      "records": [shard.sha256 for shard in index.shards],
      **(about or {}),
    },
    attribution=sources.attribution_csv(
      [("records", "", index.params.get("data", ""), "")]
    ),
    explain=explain,
  )
