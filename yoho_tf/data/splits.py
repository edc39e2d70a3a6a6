"""Groups -> train, val and test, so that every label is in each of them.

Groups are put one by one where a label is still missing, else where the amounts
of its labels fall shortest of the shares. That depends on the order: many
seeded ones are tried, all at once, and the best result is kept.
"""

from collections.abc import Mapping

import numpy as np

from yoho_tf.params import rules

SPLITS = ("train", "val", "test")
_NUM_ORDERS = 200
_MISSING = 1e3  # outweighs every deviation


def split_groups(
  amounts: Mapping[str, Mapping[str, float]],
  sizes: Mapping[str, float],
  *,
  shares: tuple[float, float, float] = (0.7, 0.15, 0.15),
  seed: int = 0,
) -> dict[str, str]:
  """Assigns every group to a split.

  The result depends on the values alone, not on the order of the mappings.

  Args:
    amounts: group -> label -> how much there is of it, in events or seconds.
    sizes: group -> size, in seconds.
    shares: of train, val and test, in the amounts and in the sizes.
    seed: of the orders.

  Returns:
    group -> split, sorted by group.

  Raises:
    ValueError: a label is missing from a split; names both.
  """
  rules.require(
    len(shares) == len(SPLITS)
    and min(shares) > 0
    and abs(sum(shares) - 1) < 1e-9,
    "shares",
    "be 3 positive numbers that add up to 1",
    shares,
  )
  groups = sorted(sizes)
  rules.require(
    set(amounts) == set(sizes), "amounts", "name the groups of sizes",
    sorted(set(amounts) ^ set(sizes))[:5],
  )  # fmt: skip
  labels = sorted({k for v in amounts.values() for k, n in v.items() if n > 0})
  if not groups:
    return {}
  columns = [[amounts[g].get(label, 0.0) for label in labels] for g in groups]
  table = np.array(columns, float).reshape(len(groups), len(labels))
  size = np.array([sizes[g] for g in groups], float)
  # Parts of the whole, [groups, labels + 1]: the last column is the size.
  parts = np.column_stack([table, size])
  parts /= np.maximum(parts.sum(axis=0), 1e-300)
  orders = _orders(parts, np.random.default_rng(seed))
  placed = _place(parts, orders, np.array(shares))  # [orders, groups]
  split = placed[_best(parts, placed, np.array(shares))]
  held = np.array([(table[split == s] > 0).any(0) for s in range(len(SPLITS))])
  lacking = [
    f"{label!r} in {' and '.join(np.array(SPLITS)[~held[:, column]])} "
    f"({np.count_nonzero(table[:, column])} groups)"
    for column, label in enumerate(labels)
    if not held[:, column].all()
  ]
  if lacking:
    raise ValueError(
      "every label must be in every split; no way was found to have "
      f"{', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''}; "
      "splits.csv can decide"
    )
  return {group: SPLITS[s] for group, s in zip(groups, split)}


def _orders(parts, rng) -> np.ndarray:
  """Orders to try: int [orders, groups].

  Every other one begins with the groups that hold the rarest labels. Within
  that large groups come first, in later orders less and less strictly.
  """
  has = parts[:, :-1] > 0
  num_groups = has.sum(axis=0)  # [labels]
  rarest = np.where(has, num_groups, len(parts)).min(axis=1, initial=len(parts))
  weight = np.log(np.maximum(parts.sum(axis=1), 1e-12))
  noise = np.log(-np.log(rng.uniform(1e-12, 1, (_NUM_ORDERS, len(parts)))))
  orders = []
  for number, row in enumerate(noise):
    late = -weight + row * (4 * number / _NUM_ORDERS)
    first = rarest if number % 2 == 0 else np.zeros_like(rarest)
    orders.append(np.lexsort((late, first)))
  return np.array(orders)


def _place(parts, orders, shares) -> np.ndarray:
  """The split of every group under every order: int [orders, groups]."""
  num_orders, num_groups = orders.shape
  every = np.arange(num_orders)
  placed = np.zeros((num_orders, num_groups), int)
  # What each split holds above its share: [orders, splits, columns].
  excess = np.tile(-shares[:, None], (num_orders, 1, parts.shape[1]))
  missing = np.ones((num_orders, len(shares), parts.shape[1] - 1))
  left = np.tile((parts[:, :-1] > 0).sum(axis=0), (num_orders, 1))
  for group in orders.T:
    part = parts[group]  # [orders, columns]
    has = part[:, :-1] > 0
    # Growth of the squared excess over the share, [orders, splits].
    cost = 2 * np.einsum("oc,osc->os", part, excess)
    cost = (cost + np.einsum("oc,oc->o", part, part)[:, None]) / shares
    urgency = has * (1 + 1 / np.maximum(left, 1))  # [orders, labels]
    cost -= _MISSING * np.einsum("ol,osl->os", urgency, missing)
    split = cost.argmin(axis=1)
    placed[every, group] = split
    excess[every, split] += part
    missing[every, split] *= ~has
    left -= has
  return placed


def _best(parts, placed, shares) -> int:
  """The order with the fewest labels missing, then the least deviation."""
  held = np.stack(
    [(placed == split).astype(float) @ parts for split in range(len(shares))],
    axis=1,
  )  # [orders, splits, columns]
  missing = (held[:, :, :-1] <= 0).sum(axis=(1, 2))
  off = np.abs(held - shares[:, None]).sum(axis=1)  # [orders, columns]
  off = off[:, :-1].sum(axis=1) / max(1, off.shape[1] - 1) + off[:, -1]
  # Rounded: sums in another order must not choose another result.
  return int(np.lexsort((off.round(9), missing))[0])
