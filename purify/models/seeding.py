"""Seeded random draws; a class's rows of a head depend only on the seed and the class's number.

So each rank draws the rows of its own classes exactly as a single process would.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from purify.models.process_group import Shard

#: Classes per generator: creating one is slow.
_BLOCK = 1024


def seeded_generator(*seed: int) -> torch.Generator:
    """CPU generator for a seed of several numbers, such as (seed, step, purpose)."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1))


def class_normals(classes: Shard, shape: Sequence[int], *seed: int) -> Tensor:
    """Standard normal numbers, float32[len(classes), *shape]."""
    rows = torch.empty(len(classes), *shape)
    for block in range(classes.start // _BLOCK, -(-classes.stop // _BLOCK)):
        first = block * _BLOCK
        start, stop = max(classes.start, first), min(classes.stop, first + _BLOCK)
        drawn = torch.randn(_BLOCK, *shape, generator=seeded_generator(*seed, block))
        rows[start - classes.start : stop - classes.start] = drawn[start - first : stop - first]
    return rows
