"""Order of the images: a function of seed and epoch alone, the same for any number of ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from purify.models.process_group import Ranks
from purify.training.schedule import Schedule


@dataclass(frozen=True)
class Sampler:
    """Shuffles the images in each epoch, and drops the remainder that does not fill a step.

    A step has `accumulate` batches; `batch_size` counts the images of a forward pass on all ranks together.
    """

    samples: int
    batch_size: int
    accumulate: int
    schedule: Schedule
    seed: int

    def steps(self, start: int) -> Iterator[npt.NDArray[np.int64]]:
        """Rows [accumulate, batch_size] of each step from step `start` on."""
        size = self.batch_size * self.accumulate
        first_epoch, skip = divmod(start, self.schedule.steps_per_epoch)
        for epoch in range(first_epoch, self.schedule.epochs):
            rows = np.random.default_rng([self.seed, epoch]).permutation(self.samples)
            for step in range(skip, self.schedule.steps_per_epoch):
                yield rows[step * size : (step + 1) * size].reshape(self.accumulate, self.batch_size)
            skip = 0

    def own_batches(self, start: int, ranks: Ranks) -> Iterator[npt.NDArray[np.int64]]:
        """Own shard of each batch, from step `start` on."""
        own = ranks.shard(self.batch_size).slice
        return (batch[own] for rows in self.steps(start) for batch in rows)
