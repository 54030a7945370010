"""A folder that is scraped into, of a few patterns with wrong labels, and a run on it that trains in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from purify.config import PurifyConfig

CLASSES = 4
PER_CLASS = 24
Draw = Callable[[Path, float, np.random.Generator], None]


def scrape_config(**grow: object) -> PurifyConfig:
    return PurifyConfig.model_validate(
        {
            "seed": 3,
            "model": {"embedding_dim": 16, "input_size": 32},
            "train": {
                "threads": 1,
                "epochs": 2,
                "min_steps": 100,
                "batch_size": 16,
                "precision": "float32",
                "subcenters": 2,
            },
            "embed": {"shard_size": 8, "batch_size": 8},
            "analyze": {"rule": "official", "threshold": 85},
            "grow": grow,
        }
    )


def scraped_pictures(draw_stripes: Draw) -> Callable[[Path, int, range], None]:
    """A function that draws pictures of a label, the last sixth of them of another pattern."""

    def pictures(source: Path, label: int, numbers: range) -> None:
        for k in numbers:
            true = label if k % 6 != 5 else (label + 1 + k % (CLASSES - 1)) % CLASSES
            rng = np.random.default_rng([label, k])
            draw_stripes(source / f"label {label}" / f"{k:03d}.png", np.pi * true / CLASSES, rng)

    return pictures
