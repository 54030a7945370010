"""Checks of a run's inputs before the first training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from purify.analysis.rules.registry import get_rule
from purify.config import PurifyConfig
from purify.embedding.extractors import open_extractor
from purify.errors import InputError
from purify.ingest.doors.door_registry import find_door
from purify.ingest.doors.tables import TABLE
from purify.ingest.image_roots import ImageRoots
from purify.pipeline.cleaned_tables import has_truth
from purify.pipeline.embedding_stage import own_extractor
from purify.pipeline.extractor_choice import AUTO, SCRATCH
from purify.pipeline.model_comparison import usable_pairs
from purify.pipeline.pair_images import PAIR_CROPS, pair_images
from purify.pipeline.protocol_evaluation import check_protocols
from purify.pipeline.training_stage import round_model
from purify.progress import QUIET, ProgressBoard
from purify.storage.files import read_table
from purify.storage.locations import Location, to_location
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import train_rows
from purify.tables.schema import MANIFEST
from purify.tables.user_tables import is_table


def image_roots(source: str, config: PurifyConfig, *, given_embeddings: bool) -> list[str]:
    """Roots for the look-up of images: the configured ones, else the source itself or the folder of the table.

    Empty for a table with given embeddings and no roots: it is judged without its images.
    """
    if config.ingest.images:
        return list(config.ingest.images)
    kind = config.ingest.format
    if given_embeddings and not config.ingest.more and _lists_paths(to_location(source), kind):
        return []
    places = map(to_location, [source, *config.ingest.more])
    return list(dict.fromkeys(str(place.parent if _lists_paths(place, kind) else place) for place in places))


def _lists_paths(place: Location, kind: str | None) -> bool:
    """Whether a source is a table of paths, and not one with images inside."""
    if not is_table(place) or not isinstance(place, Path):
        return is_table(place)
    return not place.is_dir() and (not place.exists() or find_door(place, kind) is TABLE)


def require_known_images(run: RunFolder, config: PurifyConfig) -> None:
    """Refuse a configuration that drops the image roots of a run: its manifest would lose its images.

    Raises
    ------
    InputError
        If it does; the message names the roots.
    """
    before = run.read_info().get("config", {}).get("ingest", {}).get("images")
    if before and not config.ingest.images and run.manifest.exists():
        raise InputError(
            f"{run.root}: this run was made with the image roots {', '.join(before)}, and this configuration has none; "
            f"give them again (--set 'ingest.images={json.dumps(before)}'), pass single settings of a deployment's run "
            "as `changes` instead of `config`, or start a run in another folder"
        )


@dataclass(frozen=True)
class ModelPlan:
    """The models of a run by name.

    Attributes
    ----------
    learns
        Whether round 1 trains a sub-center model; else its embeddings are given, or made by the user's extractor.
    compared
        The K = 1 models: the purified one, and with pairs to measure on, the baselines.
    early
        Those of them that are trained beside round 1: they don't depend on its verdicts.
    """

    learns: bool
    compared: Sequence[str]
    early: Sequence[str]

    @property
    def late(self) -> list[str]:
        """The other K = 1 models."""
        return [name for name in self.compared if name not in self.early]

    @property
    def first(self) -> list[str]:
        """All models that are trained on the manifest's images."""
        return [*([round_model(1)] if self.learns else []), *(name for name in self.compared if name != "purified")]


def plan_models(run: RunFolder, config: PurifyConfig, embeddings: Location | None, images: Sequence[str]) -> ModelPlan:
    """Which models a run trains, and when."""
    compared = []
    if config.retrain.enabled and images:
        truth = has_truth(read_table(run.manifest, MANIFEST))
        baselines = config.evaluate.baselines if config.evaluate.compares else []
        compared = ["purified", *(name for name in baselines if name != "oracle" or truth)]
    early = [] if embeddings else [name for name in compared if name in ("raw", "oracle")]
    learns = embeddings is None and own_extractor(1, config) is None
    return ModelPlan(learns, compared, early)


def check_inputs(
    run: RunFolder,
    config: PurifyConfig,
    embeddings: Location | None,
    images: Sequence[str],
    board: ProgressBoard = QUIET,
) -> None:
    """Refuse unknown rules, unusable pairs and extractors, and two sources of embeddings, before any training.

    Pairs of photos are aligned for it, and kept for the evaluation.
    """
    get_rule(config.analyze.rule)
    manifest = read_table(run.manifest, MANIFEST)
    if embeddings is not None and config.extractor.name not in (AUTO, SCRATCH):
        raise InputError("both --embeddings and an extractor are given; leave one out")
    if embeddings is None and (file := own_extractor(1, config)) is not None:
        open_extractor(file, config.extractor, precision=config.train.precision, flip=config.embed.flip)
    check_protocols(config)
    if config.evaluate.pairs and images:
        roots = ImageRoots([to_location(root) for root in images])
        pairs, counts = usable_pairs(
            to_location(config.evaluate.pairs), roots, train_rows(manifest), config.evaluate, pixels=False
        )
        if config.align.enabled and config.retrain.enabled:
            progress = board.stage("align pairs")
            faces = pair_images(pairs, roots, manifest, config, run.root / PAIR_CROPS, progress=progress)
            faces.usable(pairs, counts)
