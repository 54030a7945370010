"""Batches of augmented views, prepared by threads while the device computes."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from purify.config import ModelConfig, TrainConfig
from purify.faces.augment import Augmentation, random_views
from purify.images.loading import ImageLoader, resolve_workers
from purify.training.training_set import TrainingSet

_MEGABYTE = 1 << 20


def view_batches(
    data: TrainingSet,
    order: Iterable[npt.NDArray[np.int64]],
    model: ModelConfig,
    config: TrainConfig,
    *,
    seed: int,
    first: int,
    device: torch.device,
) -> Generator[Tensor]:
    """``images[N, 3, S, S]`` of each batch of rows in `order`; the first of them is batch number `first`.

    Closing the generator stops its threads.
    """
    augmentation = Augmentation(mask=config.mask_probability)

    def prepare(number: int, rows: npt.NDArray[np.int64], pixels: npt.NDArray[np.uint8]) -> Tensor:
        return random_views(pixels, rows, augmentation, seed=seed, step=first + number, device=device)

    loader = ImageLoader(
        data.sample_ids,
        data.uris,
        size=model.input_size,
        contents=data.contents,
        workers=max(1, resolve_workers(config.workers) // config.processes),
        cache_bytes=config.cache_mb * _MEGABYTE // config.processes,
    )
    with loader:
        for _, batch in loader.prepared(order, prepare):
            yield batch
