"""What `benchmarks.gpu` measures on one device: trainings, and nearest rows."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.input import bare_steps
from purify.config import BackboneName, ModelConfig, TrainConfig
from purify.models.faiss_card import faiss_card
from purify.models.nearest_rows import top_cosines
from purify.training.loop import train
from purify.training.training_set import TrainingSet

_BLOCK, _NEIGHBORS = 2**17, 11
#: Untimed first steps, which choose kernels, and the share of the free memory of this machine that data may take.
_WARM, _SHARE = 5, 0.5
_FLOAT32, _FLOAT16 = 4, 2


class SkippedError(Exception):
    """What can't be measured here, and why."""


@dataclass(frozen=True)
class TrainingCase:
    """Steps on `batch` images of `size` pixels, a head of `classes` x `subcenters` x `dim`, of which `rate` compete."""

    backbone: BackboneName
    size: int
    dim: int
    classes: int
    subcenters: int
    rate: float
    batch: int
    steps: int
    compile: bool = False

    @property
    def name(self) -> str:
        """For a table."""
        head = "dense" if self.rate == 1 else f"sampled {self.rate:g}"
        return f"{self.backbone}, {self.classes:,} classes x {self.subcenters}, {head}"


class _Finished(Exception):
    """Ends a training once its steps are timed."""


class _Stopwatch:
    """A progress that times the steps after the first ones."""

    def __init__(self, steps: int, device: torch.device) -> None:
        self._steps, self._device = steps, device
        self._began = self.seconds = 0.0

    def __call__(self, done: int, total: int, detail: str = "") -> None:
        if done == _WARM:
            self._began = settled(self._device)
        elif done == _WARM + self._steps:
            self.seconds = settled(self._device) - self._began
            raise _Finished


def settled(device: torch.device) -> float:
    """The time, once `device` has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def training_speed(case: TrainingCase, images: TrainingSet, device: torch.device) -> dict[str, Any]:
    """The whole loop on `images` (decoded once, then in memory), under labels drawn anew, and bare steps on one batch.

    Returns
    -------
    dict
        The case; ``images_per_second`` of the ``loop`` and of the ``bare_step``, their ``ratio``, and ``peak_bytes`` of
        the device (None on a CPU).

    Raises
    ------
    SkippedError
        If head or activations don't fit.
    """
    require_memory(case.classes * case.subcenters * case.dim * _FLOAT32, "the head")
    index = np.random.default_rng(0).integers(case.classes, size=len(images.uris))
    data = TrainingSet(images.sample_ids, images.uris, tuple(map(str, range(case.classes))), index)
    model = ModelConfig(backbone=case.backbone, embedding_dim=case.dim, input_size=case.size)
    config = TrainConfig(
        batch_size=case.batch,
        min_steps=2 * (_WARM + case.steps),
        warmup_share=0,
        sample_rate=case.rate,
        compile=case.compile,
    )
    speeds = {}
    with fitting(), measured_memory(device) as peak:
        kinds: dict[str, Callable[..., Any]] = {"loop": train, "bare_step": bare_steps}
        for kind, work in kinds.items():
            watch = _Stopwatch(case.steps, device)
            with suppress(_Finished):
                work(data, model, config, subcenters=case.subcenters, seed=0, progress=watch)
            speeds[kind] = case.batch * case.steps / watch.seconds
            free_memory()
    ratio = speeds["loop"] / speeds["bare_step"]
    return asdict(case) | {"images_per_second": speeds, "ratio": ratio, "peak_bytes": peak()}


def neighbor_speed(rows: int, dim: int, queries: int, device: torch.device) -> dict[str, Any]:
    """Nearest rows of the first `queries` of `rows` drawn unit vectors, float16.

    Returns
    -------
    dict
        Sizes; ``faiss_gpu``, whether FAISS searched; ``seconds``, ``queries_per_second``, ``hours_for_all`` rows as
        queries (extrapolated), ``peak_bytes``.

    Raises
    ------
    SkippedError
        If the vectors don't fit.
    """
    require_memory(rows * dim * _FLOAT16, "the vectors")
    vectors = np.empty((rows, dim), np.float16)
    generator = torch.Generator(device).manual_seed(0)
    for start in range(0, rows, _BLOCK):
        part = torch.randn(min(_BLOCK, rows - start), dim, generator=generator, device=device)
        vectors[start : start + len(part)] = torch.nn.functional.normalize(part, dim=1).half().cpu().numpy()
    with fitting(), measured_memory(device) as peak:
        top_cosines(vectors[:64], vectors[:_BLOCK], _NEIGHBORS, device=device)  # chooses kernels
        began = settled(device)
        top_cosines(vectors[:queries], vectors, _NEIGHBORS, device=device)
        seconds = settled(device) - began
    return {
        "rows": rows,
        "dim": dim,
        "queries": queries,
        "faiss_gpu": faiss_card(device, _NEIGHBORS + 1) is not None,
        "seconds": seconds,
        "queries_per_second": queries / seconds,
        "hours_for_all": rows * seconds / queries / 3600,
        "peak_bytes": peak(),
    }


def draw_images(folder: Path, count: int, size: int) -> None:
    """Write JPEGs of smooth noise, about as large as faces, of one label."""
    rng = np.random.default_rng(0)
    (folder / "drawn").mkdir()
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (14, 14, 3), dtype=np.uint8))
        fine = coarse.resize((size, size), Image.Resampling.BICUBIC)
        fine.save(folder / "drawn" / f"{number:05d}.jpg", quality=90)


def require_memory(size: int, what: str) -> None:
    """SkippedError if `size` bytes are more than half of this machine's free memory."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if size > _SHARE * free:
        raise SkippedError(
            f"{what}: {size / 2**30:.1f} GiB are too much for the {free / 2**30:.1f} GiB that are free here"
        )


@contextmanager
def fitting() -> Iterator[None]:
    """SkippedError instead of the device's lack of memory."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        free_memory()
        raise SkippedError(f"does not fit into the device's memory ({str(error).splitlines()[0]})") from error


@contextmanager
def measured_memory(device: torch.device) -> Iterator[Callable[[], int | None]]:
    """Peak of PyTorch's memory on `device` while the context is open; None on a CPU."""
    if device.type != "cuda":
        yield lambda: None
        return
    torch.cuda.reset_peak_memory_stats(device)
    yield lambda: torch.cuda.max_memory_allocated(device)


def free_memory() -> None:
    """Give back what the last measurement held."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
