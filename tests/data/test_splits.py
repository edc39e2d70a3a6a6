"""Groups to splits: disjoint by construction, complete, near the shares."""

import itertools
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yoho_tf.data.splits import SPLITS, split_groups

EQUAL = {f"g{number}": 1.0 for number in range(9)}


def held(result, amounts, split):
  """Labels that a split holds."""
  return {
    label
    for group, own in amounts.items()
    if result[group] == split
    for label, amount in own.items()
    if amount > 0
  }


def share_of(result, sizes, split):
  total = sum(sizes.values())
  return sum(v for k, v in sizes.items() if result[k] == split) / total


@st.composite
def own_groups(draw):
  """Every label has three groups of its own, and some groups are mixed."""
  labels = [f"l{number}" for number in range(draw(st.integers(1, 6)))]
  amount = st.floats(0.1, 100)
  amounts = {
    f"{label}/{number}": {label: draw(amount)}
    for label in labels
    for number in range(draw(st.integers(3, 6)))
  }
  for number in range(draw(st.integers(0, 8))):
    own = draw(st.sets(st.sampled_from(labels)))
    amounts[f"mixed/{number}"] = {label: draw(amount) for label in sorted(own)}
  return amounts, {group: draw(amount) for group in amounts}


@settings(max_examples=40)
@given(own_groups(), st.integers(0, 3), st.randoms())
def test_every_group_once_and_every_label_everywhere(problem, seed, random):
  amounts, sizes = problem
  result = split_groups(amounts, sizes, seed=seed)
  assert list(result) == sorted(sizes)
  for split in SPLITS:
    assert held(result, amounts, split) == held(
      dict.fromkeys(amounts, split), amounts, split
    )
  # The order of the mappings is nothing.
  names = list(amounts)
  random.shuffle(names)
  mixed = {k: dict(reversed(amounts[k].items())) for k in names}
  again = split_groups(mixed, {k: sizes[k] for k in reversed(names)}, seed=seed)
  assert again == result


@settings(max_examples=20)
@given(st.integers(30, 80), st.integers(1, 4), st.integers(0, 3))
def test_equal_groups_come_near_the_shares(num_groups, num_labels, seed):
  amounts = {
    f"g{number}": {f"l{number % num_labels}": 2.0}
    for number in range(num_groups)
  }
  sizes = dict.fromkeys(amounts, 3.0)
  result = split_groups(amounts, sizes, seed=seed)
  for split, share in zip(SPLITS, (0.7, 0.15, 0.15)):
    # One group more or less of every label.
    off = abs(share_of(result, sizes, split) - share)
    assert off <= num_labels / num_groups + 1e-9


def test_shares_are_the_callers():
  amounts = {f"g{number}": {"x": 1} for number in range(100)}
  sizes = dict.fromkeys(amounts, 1.0)
  result = split_groups(amounts, sizes, shares=(0.5, 0.3, 0.2))
  counts = [list(result.values()).count(split) for split in SPLITS]
  assert counts == [50, 30, 20]


def test_a_large_group_goes_where_there_is_room():
  sizes = {"large": 70.0, **{f"g{number}": 1.0 for number in range(30)}}
  amounts = {group: {"x": size} for group, size in sizes.items()}
  result = split_groups(amounts, sizes)
  assert result["large"] == "train"
  assert share_of(result, sizes, "train") == pytest.approx(0.7)


@settings(max_examples=60)
@given(
  st.lists(st.sets(st.sampled_from("wxyz")), min_size=3, max_size=7),
  st.integers(0, 3),
)
def test_a_way_is_found_where_there_is_one(held_by_group, seed):
  """Against trying all 3 ** groups assignments."""
  labels = sorted(set().union(*held_by_group))
  has = np.array([[v in own for v in labels] for own in held_by_group], int)
  ways = np.array(list(itertools.product(range(3), repeat=len(has))))
  complete = [((ways == s) @ has > 0).all(axis=1) for s in range(3)]
  amounts = {
    f"g{number}": dict.fromkeys(sorted(own), 1)
    for number, own in enumerate(held_by_group)
  }
  sizes = dict.fromkeys(amounts, 1.0)
  if np.all(complete, axis=0).any():
    result = split_groups(amounts, sizes, seed=seed)
    for split in SPLITS:
      assert held(result, amounts, split) == set(labels)
  else:
    with pytest.raises(ValueError, match="must be in every split"):
      split_groups(amounts, sizes, seed=seed)


def test_a_thousand_groups_take_less_than_two_seconds():
  amounts = {
    f"g{n}": {f"l{n % 9}": n % 7 + 1, f"l{n % 5}": 1} for n in range(1000)
  }
  sizes = {group: 1.0 + len(own) for group, own in amounts.items()}
  begin = time.perf_counter()
  result = split_groups(amounts, sizes)
  assert time.perf_counter() - begin < 2
  assert share_of(result, sizes, "train") == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("hash_seed", ["0", "77"])
def test_no_hash_order_is_in_it(hash_seed):
  code = (
    "from yoho_tf.data.splits import split_groups;"
    "a = {f'g{n}': {x: n + 1 for x in {'a', 'b', 'c', 'd'}} for n in range(9)};"
    "print(sorted(split_groups(a, {g: 1. for g in set(a)}).items()))"
  )
  done = subprocess.run(
    [sys.executable, "-c", code],
    capture_output=True,
    text=True,
    env={**os.environ, "PYTHONHASHSEED": hash_seed},
  )
  amounts = {f"g{n}": dict.fromkeys("dcba", n + 1) for n in range(9)}
  expected = split_groups(amounts, EQUAL)
  assert done.stdout == f"{sorted(expected.items())}\n", done.stderr


@pytest.mark.parametrize("num_groups", [1, 2])
def test_a_label_that_misses_a_split_is_an_error(num_groups):
  amounts = {group: {"common": 1} for group in EQUAL}
  for number in range(num_groups):
    amounts[f"g{number}"]["rare one"] = 5
  with pytest.raises(ValueError, match=r"'rare one' in .*splits\.csv") as error:
    split_groups(amounts, EQUAL)
  assert "'common'" not in str(error.value)
  assert f"({num_groups} groups)" in str(error.value)


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (({"a": {}}, {"b": 1.0}), "amounts must name the groups of sizes"),
    (({"a": {}}, {"a": 1.0}, (0.5, 0.5, 0.5)), "shares must be 3 positive"),
    (({"a": {}}, {"a": 1.0}, (1.0, 0.0, 0.0)), "shares must be 3 positive"),
  ],
)
def test_bad_arguments(arguments, words):
  amounts, sizes, *shares = arguments
  options = {"shares": shares[0]} if shares else {}
  with pytest.raises(ValueError, match=words):
    split_groups(amounts, sizes, **options)


def test_no_groups_no_splits():
  assert split_groups({}, {}) == {}
