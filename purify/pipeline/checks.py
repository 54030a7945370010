"""Checks of a run's inputs before the first training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from purify.analysis.rules.registry import get_rule
from purify.config import PurifyConfig
from purify.embedding.extractors import open_extractor
from purify.errors import InputError
from purify.ingest.image_roots import ImageRoots
from purify.pipeline.cleaned_tables import has_truth
from purify.pipeline.embedding_stage import own_extractor
from purify.pipeline.model_comparison import usable_pairs
from purify.storage.files import read_json, read_table
from purify.storage.locations import Location, to_location
from purify.storage.run_folder import RunFolder
from purify.tables.schema import MANIFEST
from purify.tables.user_tables import is_table


def image_roots(source: str, config: PurifyConfig, *, given_embeddings: bool) -> list[str]:
    """Roots for the look-up of images: the configured ones, else the source itself or the folder of the table.

    Empty for a table with given embeddings and no roots: it is judged without its images.
    """
    if config.ingest.images:
        return list(config.ingest.images)
    place = to_location(source)
    if not is_table(place) or (isinstance(place, Path) and place.is_dir()):
        return [source]
    return [] if given_embeddings else [str(place.parent)]


def require_known_images(run: RunFolder, config: PurifyConfig) -> None:
    """Refuse a configuration that drops the image roots of a run: its manifest would lose its images.

    Raises
    ------
    InputError
        If it does; the message names the roots.
    """
    before = read_json(run.info).get("config", {}).get("ingest", {}).get("images") if run.info.exists() else None
    if before and not config.ingest.images and run.manifest.exists():
        raise InputError(
            f"{run.root}: this run was made with the image roots {', '.join(before)}, and this configuration has none; "
            f"give them again (--set 'ingest.images={json.dumps(before)}'), pass single settings of a deployment's run "
            "as `changes` instead of `config`, or start a run in another folder"
        )


def models_to_compare(run: RunFolder, config: PurifyConfig, images: Sequence[str]) -> list[str]:
    """The K = 1 models to train: the purified one, and with pairs to measure on, the baselines."""
    if not config.retrain.enabled or not images:
        return []
    if config.evaluate.pairs is None:
        return ["purified"]
    truth = has_truth(read_table(run.manifest, MANIFEST))
    return ["purified", *(name for name in config.evaluate.baselines if name != "oracle" or truth)]


def check_inputs(run: RunFolder, config: PurifyConfig, embeddings: Location | None, images: Sequence[str]) -> None:
    """Refuse unknown rules, unusable pairs and extractors, and two sources of embeddings, before any training."""
    get_rule(config.analyze.rule)
    manifest = read_table(run.manifest, MANIFEST)
    if embeddings is not None and config.extractor.file is not None:
        raise InputError("both --embeddings and extractor.file are given; leave one out")
    if embeddings is None and (file := own_extractor(1, config)) is not None:
        open_extractor(file, config.extractor, precision=config.train.precision, flip=config.embed.flip)
    if config.evaluate.pairs and images:
        roots = ImageRoots([to_location(root) for root in images])
        usable_pairs(to_location(config.evaluate.pairs), roots, manifest, config.evaluate)
