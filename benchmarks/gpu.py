"""All that a GPU does, measured in ten minutes: ``python -m benchmarks.gpu --help``.

Written for one card, and run on a CPU only (``--device cpu --tiny``).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

# Before torch loads: spinning threads slow everything else down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click
import torch
from rich.table import Table

from benchmarks.answers import console, give
from benchmarks.device_agreement import agreement
from benchmarks.embedding import EmbeddingCase, run_embedding
from benchmarks.gpu_parts import (
    SkippedError,
    TrainingCase,
    draw_images,
    free_memory,
    neighbor_speed,
    training_speed,
)
from purify.config import BackboneName, IngestConfig
from purify.errors import PurifyError
from purify.ingest.ingest import ingest
from purify.models.precision import DEVICE_SWITCH, default_device
from purify.training.training_set import TrainingSet
from purify.version import __version__

_SUBCENTERS, _SAMPLED, _CARDS, _GIB = 3, 0.1, 8, 2**30
#: Images a second of eight cards as InsightFace's arcface_torch publishes them, not measured here: backbone, cards,
#: identities (K = 1; a head with K = 3 costs about what three times as many identities do), head, images a second,
#: and the file that says so, in the folders docs and benchmarks/train of its repository (recognition/arcface_torch).
PUBLISHED = (
    ("iresnet50", "V100 32 GB, AMP, batch 1024", "125K", "dense, model parallel", 4824, "speed_benchmark.md"),
    ("iresnet50", "V100 32 GB, AMP, batch 1024", "125K", "sampled 0.1", 5004, "speed_benchmark.md"),
    ("iresnet50", "V100 32 GB, AMP, batch 1024", "500K", "dense, model parallel", 4013, "speed_benchmark.md"),
    ("iresnet50", "V100 32 GB, AMP, batch 1024", "500K", "sampled 0.1", 4900, "speed_benchmark.md"),
    ("iresnet50", "V100 32 GB, AMP, batch 1024", "2M", "dense, model parallel", 2593, "speed_benchmark.md"),
    ("iresnet50", "V100 32 GB, AMP, batch 1024", "2M", "sampled 0.1", 4626, "speed_benchmark.md"),
    ("iresnet50", "A100 80 GB, float16 + TF32, batch 1024", "618K", "-", 5400, "nvidia_a100.md"),
    ("iresnet100", "A100 80 GB", "618K", "-", 3700, "nvidia_a100.md"),
    ("iresnet100", "A100 80 GB", "2M", "-", 3480, "nvidia_a100.md"),
)


@dataclass(frozen=True)
class Sizes:
    """What is measured: backbones, heads, rows."""

    backbones: tuple[BackboneName, ...]
    size: int
    dim: int
    classes: tuple[int, ...]
    batch: int
    steps: int
    images: int
    rows: tuple[int, ...]
    queries: int


_FULL = Sizes(
    ("iresnet50", "iresnet100"), 112, 512, (10_000, 100_000, 1_000_000), 128, 20, 2048, (1_000_000, 10_000_000), 32_768
)
_TINY = Sizes(("iresnet_small",), 32, 16, (40, 200), 8, 2, 24, (500, 2000), 64)
Answer = dict[str, Any]
_Task = Callable[[], Answer]


def run_gpu(sizes: Sizes, source: Path | None, *, minutes: float, compiled: bool) -> Answer:
    """Measure as much as `minutes` allow, the most telling first.

    Returns
    -------
    dict
        ``device``, ``versions``; ``agreement`` with the CPU; ``training``, ``embedding`` and ``neighbors``: name ->
        figures, or why they are ``skipped``; ``published``: the figures of arcface_torch, divided by eight.
    """
    device, end = default_device(), time.monotonic() + 60 * minutes
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    answer: Answer = {
        "device": name,
        "versions": {"purify": __version__, "torch": torch.__version__, "cuda": torch.version.cuda},
        "agreement": agreement(device),
    }
    with tempfile.TemporaryDirectory() as folder:
        place = source or Path(folder)
        if source is None:
            draw_images(place, sizes.images, sizes.size)
        images = TrainingSet.of_table(ingest(place, [], IngestConfig()), name=str(place))
        for part, title, task in _tasks(sizes, images, place, device, compiled):
            click.echo(f"{part}: {title}", err=True)
            answer.setdefault(part, {})[title] = _done(task, time_is_up=time.monotonic() > end, minutes=minutes)
            free_memory()
    rows = [(*row[:4], row[4] / _CARDS, row[5]) for row in PUBLISHED]
    return answer | {"published": [dict(zip(_PUBLISHED_COLUMNS, row, strict=True)) for row in rows]}


_PUBLISHED_COLUMNS = ("backbone", "cards", "identities", "head", "images_per_second_of_a_card", "source")


def _done(task: _Task, *, time_is_up: bool, minutes: float) -> Answer:
    if time_is_up:
        return {"skipped": f"the {minutes:g} minutes were over"}
    try:
        return task()
    except SkippedError as error:
        return {"skipped": str(error)}


def _tasks(
    sizes: Sizes, images: TrainingSet, place: Path, device: torch.device, compiled: bool
) -> Iterator[tuple[str, str, _Task]]:
    """Part, title and work of each measurement; small heads and small sets of rows first."""
    for backbone in sizes.backbones:
        yield "embedding", backbone, partial(run_embedding, _embedding(sizes, backbone, images), place)
    for classes in sizes.classes:
        for backbone in sizes.backbones:
            for rate in (1.0, _SAMPLED):
                case = TrainingCase(
                    backbone,
                    sizes.size,
                    sizes.dim,
                    classes,
                    _SUBCENTERS,
                    rate,
                    sizes.batch,
                    sizes.steps,
                    compile=compiled,
                )
                yield "training", case.name, partial(training_speed, case, images, device)
        if classes == sizes.classes[0]:
            yield from _searches(sizes, sizes.rows[:1], device)
    yield from _searches(sizes, sizes.rows[1:], device)


def _searches(sizes: Sizes, counts: Sequence[int], device: torch.device) -> Iterator[tuple[str, str, _Task]]:
    for rows in counts:
        yield "neighbors", f"{rows:,}", partial(neighbor_speed, rows, sizes.dim, sizes.queries, device)


def _embedding(sizes: Sizes, backbone: BackboneName, images: TrainingSet) -> EmbeddingCase:
    return EmbeddingCase(
        backbone,
        dim=sizes.dim,
        size=sizes.size,
        batch=2 * sizes.batch,
        shard=8 * sizes.batch,
        images=min(sizes.images, len(images.uris)),
        rounds=3,
        threads=0,
        precision="auto",
        seed=0,
    )


def gpu_tables(answer: Mapping[str, Any]) -> list[Table]:
    """The figures of `run_gpu`."""
    training = _table("training, images/s", "loop", "bare step", "ratio", "peak GiB")
    for name, found in answer["training"].items():
        _row(training, name, found, lambda f: [*f["images_per_second"].values(), f["ratio"], _gib(f)])
    embedding = _table("embedding, images/s", "from JPEG", "from memory", "bare forward", "JPEG / bare")
    for name, found in answer["embedding"].items():
        _row(embedding, name, found, lambda f: [*f["images_per_second"].values(), f["ratios"]["encoded_images"]])
    neighbors = _table("neighbors of rows", "queries/s", "hours for all (extrapolated)", "peak GiB")
    for name, found in answer["neighbors"].items():
        _row(neighbors, name, found, lambda f: [f["queries_per_second"], f["hours_for_all"], _gib(f)])
    agreeing = _table("largest difference to the CPU", *answer["agreement"])
    agreeing.add_row(answer["device"], *(f"{value:.1e}" for value in answer["agreement"].values()))
    published = _table("published by arcface_torch for 8 cards, not measured here", *_PUBLISHED_COLUMNS[1:])
    for row in answer["published"]:
        published.add_row(*(f"{value:.0f}" if isinstance(value, float) else value for value in row.values()))
    return [training, embedding, neighbors, agreeing, published]


def _table(title: str, *columns: str) -> Table:
    table = Table(title_justify="left")
    table.add_column(title)
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right")
    return table


def _row(table: Table, name: str, found: Answer, figures: Callable[[Answer], list[float | None]]) -> None:
    if "skipped" in found:
        table.add_row(name, f"skipped: {found['skipped']}")
    else:
        table.add_row(name, *("-" if value is None else f"{value:,.3g}" for value in figures(found)))


def _gib(found: Answer) -> float | None:
    return None if found["peak_bytes"] is None else found["peak_bytes"] / _GIB


@contextmanager
def _device_switch(device: str) -> Iterator[None]:
    before = os.environ.get(DEVICE_SWITCH)
    os.environ[DEVICE_SWITCH] = device
    try:
        yield
    finally:
        os.environ.pop(DEVICE_SWITCH)
        if before is not None:
            os.environ[DEVICE_SWITCH] = before


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--source", type=click.Path(exists=True, path_type=Path), help="Folder or tar of faces; else drawn JPEGs."
)
@click.option("--minutes", type=click.FloatRange(0), default=10, show_default=True, help="Nothing is begun after.")
@click.option("--device", type=click.Choice(["auto", "cuda", "mps", "cpu"]), default="auto", show_default=True)
@click.option("--compile", "compiled", is_flag=True, help="Train with torch.compile.")
@click.option("--tiny", is_flag=True, help="Sizes that a CPU does in seconds, to try the command.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON file; else it is printed.")
def main(
    source: Path | None,
    minutes: float,
    device: Literal["auto", "cuda", "mps", "cpu"],
    compiled: bool,
    tiny: bool,
    out: Path | None,
) -> None:
    """Training, embedding and neighbors on one device, beside bare steps, and its agreement with the CPU."""
    try:
        with _device_switch(device):
            answer = run_gpu(_TINY if tiny else _FULL, source, minutes=minutes, compiled=compiled)
    except PurifyError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(error.exit_code) from error
    shown = console(160)
    for table in gpu_tables(answer):
        shown.print(table)
    give(answer, out)


if __name__ == "__main__":
    main()
