"""Options of runs, started now or by a schedule."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from purify.cli.options import (
    ANYTHING_AT,
    FILE_AT,
    FOLDER_AT,
    SOURCE_AT,
    align_options,
    align_settings,
    all_of,
    config_options,
    decision_options,
    decision_settings,
    embedding_options,
    embedding_settings,
    extractor_option,
    extractor_setting,
    image_settings,
    images_option,
    overrides_of,
    source_options,
    source_settings,
)
from purify.storage.locations import Location, absolute

if TYPE_CHECKING:
    from purify.pipeline.request import RunRequest

_OPTIONS = all_of(
    click.argument("sources", metavar="[SOURCE]...", nargs=-1, type=SOURCE_AT),
    images_option,
    source_options,
    align_options,
    click.option("--pairs", type=FILE_AT, help="Verification pairs (LFW text form, or CSV/Parquet with a, b, same)."),
    click.option(
        "--embeddings",
        type=ANYTHING_AT,
        help="Your own embeddings (Parquet, .npy, .npz or a folder of them) instead of a first training.",
    ),
    embedding_options,
    extractor_option,
    click.option("--reviews", type=FILE_AT, help="Reviews of an earlier run (reviews.parquet) that hold here too."),
    decision_options,
    click.option(
        "--rounds",
        type=click.IntRange(1),
        metavar="N",
        help="Most rounds (rounds.most). Default: 2 where the first finds many wrong labels, else 1.",
    ),
    click.option("--out", type=FOLDER_AT, default=Path("runs"), show_default=True, help="Folder or URL of all runs."),
)


@dataclass(frozen=True)
class RunOptions:
    """The options as given; see their help."""

    sources: tuple[Location, ...]
    images: tuple[Location, ...]
    label_depth: int | None
    source_format: str | None
    columns: dict[str, str] | None
    label_field: str | None
    same_labels: bool | None
    align: bool | None
    all_faces: bool | None
    pairs: Location | None
    embeddings: Location | None
    embedding_columns: dict[str, str] | None
    embedding_ids: Location | None
    extractor: str | None
    reviews: Location | None
    rule: str | None
    precision: float | None
    review_budget: int | None
    keep_hard: bool | None
    several_looks: bool | None
    dedupe: bool | None
    rounds: int | None
    out: Location
    config_file: Path | None
    overrides: tuple[str, ...]

    @property
    def source(self) -> Location | None:
        """The first SOURCE; the others are a setting."""
        return self.sources[0] if self.sources else None

    @property
    def settings(self) -> list[str]:
        """``section.key=value`` of all options; paths are absolute, since a worker runs elsewhere."""
        given = {
            **align_settings(self.align, self.all_faces),
            "evaluate.pairs": absolute(self.pairs) if self.pairs else None,
            "apply.reviews": absolute(self.reviews) if self.reviews else None,
            "rounds.most": self.rounds,
        }
        decisions = decision_settings(
            self.rule, self.precision, self.review_budget, self.keep_hard, self.several_looks, self.dedupe
        )
        vectors = embedding_settings(self.embedding_columns, self.embedding_ids)
        reading = [*image_settings(self.images), *self._reading, *vectors]
        extractor = extractor_setting(self.extractor)
        return [*self.overrides, *reading, *extractor, *overrides_of(given), *decisions]

    @property
    def _reading(self) -> list[str]:
        """``section.key=value`` of how the sources are read."""
        return source_settings(
            self.sources[1:],
            label_depth=self.label_depth,
            source_format=self.source_format,
            columns=self.columns,
            label_field=self.label_field,
            same_labels=self.same_labels,
        )

    def require_source_for_inputs(self) -> None:
        """Refuse such inputs without a SOURCE: the demo set has its own."""
        inputs = (self.images, self._reading, self.pairs, self.embeddings, self.reviews)
        if self.source is None and any(inputs):
            raise click.UsageError(
                "--images, --label-depth, --format, --columns, --label-field, --same-labels, --pairs, --embeddings and "
                "--reviews belong to a SOURCE; give one"
            )

    def request(self, folder: Location, *, quiet: bool) -> RunRequest:
        """The request of a run of SOURCE in `folder`; without SOURCE, of the demo set, drawn if need be."""
        from purify.config_files import load_config
        from purify.pipeline.request import RunRequest

        if self.source is None:
            from purify_demo.request import DEMO_SETTINGS, demo_request

            short = () if self.config_file else DEMO_SETTINGS
            return demo_request(folder, load_config(self.config_file, [*short, *self.settings]), quiet=quiet)
        config = load_config(self.config_file, self.settings)
        return RunRequest.of(self.source, folder, config, embeddings=self.embeddings)


def run_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a run, passed as one `RunOptions`."""
    names = RunOptions.__dataclass_fields__

    @functools.wraps(function)
    def with_options(**values: Any) -> Any:
        options = RunOptions(**{name: values.pop(name) for name in names})
        return function(options, **values)

    return _OPTIONS(config_options(with_options))
