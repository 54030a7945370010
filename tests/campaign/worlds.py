"""Small sources and runs on them for the campaign: each reaches other stages, at the least cost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from purify.tables.reviews import update_reviews
from purify.tables.schema import REVIEWS
from tests.detector_models import write_detector, write_photo
from tests.noisy_set import draw_noisy_set, draw_stripe_pattern
from tests.onnx_model import write_linear_onnx
from tests.small_run import CONFIG, draw_source

#: Samples that somebody has reviewed before the faults.
REVIEWED = 2


@dataclass(frozen=True)
class World:
    """A source with a configuration, the stages that faults happen in, and what changes before an update."""

    name: str
    values: dict[str, Any]
    stages: tuple[str, ...]
    reviewed: tuple[str, ...]
    #: Changes the source of a finished run, which is then updated; None: the first run is the one that faults meet.
    grow: Callable[[], None] | None = None
    #: Its models are trained, which takes ten times as long as all else.
    trains: bool = False


def given_embeddings(folder: Path) -> World:
    """Pictures with embeddings: ingest, analyze, apply, report."""
    source = draw_source(folder, people=4, images=6)
    values = _values(source, CONFIG.model_dump(mode="json"), embeddings=str(folder / "embeddings.parquet"))
    stages = ("ingest", "decide", "analyze", "apply", "report")
    return World("first run", values, stages, ("p0/0.png", "p1/1.png"))


def updated(folder: Path) -> World:
    """The same with new images, after a first run."""
    world = given_embeddings(folder)

    def grow() -> None:
        shutil.copytree(folder / "later", folder / "source", dirs_exist_ok=True)

    return World("update", world.values, world.stages, world.reviewed, grow)


def trained(folder: Path) -> World:
    """Pictures whose run trains: on the noisy set, on the cleaned one, and for a comparison."""
    drawn = draw_noisy_set(folder, draw_stripe_pattern)
    config = drawn.config(min_steps=40, epochs=2, checkpoint_seconds=0.0).model_dump(mode="json")
    config["evaluate"]["baselines"] = []
    stages = ("train_round", "embed", "analyze", "choose_purified", "train_model", "evaluate")
    return World("training", _values(drawn.table, config), stages, ("label 1/00.png", "label 2/00.png"), trains=True)


def photographed(folder: Path) -> World:
    """Photos whose faces are found, cut out and embedded by an ONNX file."""
    rng = np.random.default_rng(0)
    for person in range(3):
        for number in range(4):
            cells = [(3, 3), (6, 2)][: 1 + number % 2]
            write_photo(folder / "source" / f"p{person}" / f"{number}.png", cells, seed=10 * person + number)
    detector = write_detector(folder / "detector.onnx", "scrfd")
    write_linear_onnx(folder / "extractor.onnx", rng.normal(size=(3 * 16 * 16, 8)), size=16)
    config = CONFIG.model_dump(mode="json")
    config["align"] |= {"enabled": True, "detector": str(detector), "shard_size": 3, "workers": 1, "size": 32}
    config["extractor"]["name"] = str(folder / "extractor.onnx")
    config["embed"]["shard_size"] = 4
    stages = ("align", "embed", "choose_faces")
    return World("photos", _values(folder / "source", config), stages, ("p0/0.png", "p1/1.png"))


WORLDS: dict[str, Callable[[Path], World]] = {
    "first run": given_embeddings,
    "update": updated,
    "photos": photographed,
    "training": trained,
}


def review(run: Path, samples: tuple[str, ...]) -> None:
    """Put reviews into a run, which no fault may lose."""
    rows = [list(samples), ["drop"] * len(samples), [None] * len(samples), ["me"] * len(samples), [None] * len(samples)]
    update_reviews(run / "reviews.parquet", lambda _: pa.table(rows, schema=REVIEWS))


def _values(source: Path, config: dict[str, Any], **further: str) -> dict[str, Any]:
    config["analyze"]["rule"] = "official"  # the quick one
    return {"source": str(source), "config": config, **further}
