"""Learning rate, margin and number of sub-centers as functions of the step.

The textbook recipe (K sub-centers, s = 64, m = 0.5 from step 0) collapses on small noisy sets: with the margin
on, a random network is pushed away from every center before it knows any of them, and K random centers per
class split the images by chance. Here a class first learns one center without margin; its K sub-centers then start as
perturbed copies of that center, and only then does the margin grow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from purify.config import TrainConfig
from purify.models.heads import Margin


def target_margin(config: TrainConfig) -> Margin:
    """Margin at the end of training."""
    match config.head:
        case "arcface":
            return Margin(m2=config.margin)
        case "cosface":
            return Margin(m3=config.margin)
        case "combined":
            m1, m2, m3 = config.combined_margin
            return Margin(m1=m1, m2=m2, m3=m3)


@dataclass(frozen=True)
class Schedule:
    """Learning rate, margin and number of sub-centers as functions of the step; `subcenters` is the final K."""

    steps_per_epoch: int
    epochs: int
    config: TrainConfig
    subcenters: int

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.steps_per_epoch * self.epochs

    @property
    def grow_step(self) -> int:
        """First step with all sub-centers."""
        return round(self.config.warmup_share * self.total_steps)

    @property
    def last_epoch(self) -> range:
        """Steps of the last epoch."""
        return range(self.total_steps - self.steps_per_epoch, self.total_steps)

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up times the configured decay."""
        config = self.config
        epochs = config.warmup_epochs * self.steps_per_epoch
        warmup = epochs if config.warmup_steps is None else config.warmup_steps
        return config.learning_rate * min(1.0, (step + 1) / max(1.0, warmup)) * self._decay_at(step)

    def _decay_at(self, step: int) -> float:
        """Remaining share of the learning rate."""
        config, done = self.config, step / self.total_steps
        match config.schedule:
            case "cosine":
                return 0.5 * (1 + math.cos(math.pi * done))
            case "polynomial":
                return float((1 - done) ** config.power)
            case "step":
                steps = self.total_steps / config.epochs
                return float(config.drop_factor ** sum(step >= round(epoch * steps) for epoch in config.drop_epochs))

    def subcenters_at(self, step: int) -> int:
        """One before `grow_step`, then K."""
        return self.subcenters if step >= self.grow_step else 1

    def margin_share_at(self, step: int) -> float:
        """Share of the final margin: 0 before `grow_step`, then a linear ramp to 1."""
        ramp = self.config.ramp_share * self.total_steps
        return min(1.0, max(0.0, (step - self.grow_step) / ramp)) if ramp else float(step >= self.grow_step)

    def margin_at(self, step: int) -> Margin:
        """Margin of a step."""
        share, full = self.margin_share_at(step), target_margin(self.config)
        return Margin(m1=1 + (full.m1 - 1) * share, m2=full.m2 * share, m3=full.m3 * share)


def make_schedule(config: TrainConfig, *, samples: int, subcenters: int = 1) -> Schedule:
    """Schedule of a training on `samples` images; small sets are repeated up to `min_steps`."""
    steps = max(1, samples // (config.batch_size * config.accumulate))
    return Schedule(
        steps_per_epoch=steps,
        epochs=max(config.epochs, math.ceil(config.min_steps / steps)),
        config=config,
        subcenters=subcenters,
    )
