"""Embeddings + labels -> a verdict with its evidence for every sample, and a report for every class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from purify.analysis.class_report import class_report
from purify.analysis.class_rows import ORDER_COLUMNS, canonical_order
from purify.analysis.neighbors import find_neighbors
from purify.analysis.rules.duplicates import find_duplicates, mark_duplicates
from purify.analysis.rules.registry import get_rule
from purify.analysis.rules.rule import DEFAULT_SUBCENTERS, Outcome, Rule, RuleContext
from purify.analysis.search import one_blas_thread, vector_blocks
from purify.analysis.subcenters import SubcenterSpace, assign
from purify.analysis.suspected_looks import suspected_looks
from purify.analysis.verdict_table import SortedSamples, verdict_table
from purify.arrays import Floats, Ids, StoredVectors, Vectors
from purify.config import AnalyzeConfig
from purify.errors import InputError

#: Texts, some of which may be missing: any sequence, or a column of Arrow's, which takes less memory.
Texts: TypeAlias = Sequence[str | None]


@dataclass(frozen=True)
class Analysis:
    """Tables of the schemas `VERDICTS`, in the order of the samples, and `CLASS_REPORT`, and the rule behind them.

    Without `probabilities` the column ``p_clean`` is a mere ranking score.
    """

    verdicts: pa.Table
    class_report: pa.Table
    rule: str
    probabilities: bool
    #: Why another rule than the requested one took over, or nothing was judged; empty otherwise.
    why: str = ""
    #: ``p_clean`` [N] without the evidence of the head that learned the labels; None without such a head.
    second_reading: Floats | None = None
    #: Measured share of the nearest neighbors that the search found; 1 after an exhaustive one.
    recall: float = 1.0
    #: Number of series (frames, bursts, copies) that the images were judged in; None where they come in none.
    series: int | None = None
    #: Number of removed images that have their like under their label, where they are many; None where they are not.
    suspected_looks: int | None = None


def analyze(
    sample_ids: Texts,
    labels: Texts,
    embeddings: Vectors | StoredVectors,
    class_labels: Sequence[str],
    config: AnalyzeConfig,
    *,
    space: SubcenterSpace | None,
    rule: Rule | None = None,
    seed: int = 0,
    digests: Texts | None = None,
    photos: Texts | None = None,
    subcenters: int = DEFAULT_SUBCENTERS,
) -> Analysis:
    """Judge every sample by `rule`, or by the rule named in `config`.

    Verdicts depend neither on the order of the rows nor on the ids. With fewer than three labels of two images or more
    there is nothing to measure wrong labels on, and `calibrated` keeps all images. Embeddings that hardly tell people
    apart yield no probabilities: it then gives way to `official`, and the ``rule`` column says so.

    Parameters
    ----------
    sample_ids, labels
        N unique ids and given labels.
    embeddings
        Finite ``[N, D]`` of any scale, as the extractor wrote them; a zero vector is at 90 degrees to everything.
        Probabilities are measured on them. Stored ones are read twice, a block at a time.
    class_labels
        The C labels of the sub-centers; some may have no samples.
    space
        Sub-centers of any scale, and the embeddings (or a projection of them) to compare with these. None: fitted (with
        PyTorch) for rules that use sub-centers; for others, the angles are to the mean of the images that the rule
        trusts, and to the centers of those that it doubts.
    seed
        Seed of every random draw.
    digests
        Digests of the N images' bytes, such as their SHA-256, to tell equal files; None: unknown.
    photos
        Places of the photos that the N faces were cropped from, to tell faces of one photo; None: of none.
    subcenters
        K, the sub-centers of a class where `space` is None.

    Raises
    ------
    InputError
        If there are no samples, a label has no sub-centers, the shapes don't fit, or the data can't support the
        wanted precision.
    """
    _check_shapes(sample_ids, labels, embeddings, class_labels)
    _check_space(space, embeddings.shape[0], len(class_labels))
    columns = _order_columns(sample_ids, embeddings)
    with one_blas_thread():
        order = _judging_order(sample_ids, labels, columns, class_labels)
        samples = _sorted_samples(sample_ids, labels, class_labels, order)
        given = None
        if space is not None:
            given = replace(SubcenterSpace.of(space.embeddings[order], space.subcenters), learned=space.learned)
        pictures, shown_in = (None if names is None else _numbered(names)[order] for names in (digests, photos))
        context = RuleContext(
            samples.ids,
            embeddings,
            samples.label_index,
            class_labels,
            config,
            seed,
            given,
            pictures,
            shown_in,
            subcenters,
            order,
        )
        outcome = (rule or get_rule(config.rule)).judge(context)
        outcome = mark_duplicates(outcome, find_duplicates(context, outcome), dedupe=config.dedupe)
        place = np.argsort(order)
        verdicts, report, agreement = _tables(samples, context, outcome, place)
        again = None if outcome.second_reading is None else outcome.second_reading[place]
        recall = context.nearest.recall if "nearest" in vars(context) else 1.0
        looks = None if config.several_looks else suspected_looks(outcome, samples.label_index, agreement)
        return Analysis(
            verdicts, report, outcome.rule, outcome.probabilities, outcome.why, again, recall, outcome.series, looks
        )


def _tables(
    samples: SortedSamples, context: RuleContext, outcome: Outcome, order: Ids
) -> tuple[pa.Table, pa.Table, Vectors]:
    """Verdicts of the samples in the given order, the class report, and the neighbor agreement [N]."""
    config, space = context.config, context.space_after(outcome.p_clean)
    assignment = assign(space.embeddings, samples.label_index, space.subcenters)
    shared = space.embeddings is context.centered.vectors
    nearest = context.nearest if shared else context.nearest_of(space.embeddings)
    neighbors = find_neighbors(nearest, samples.label_index, k=config.neighbors, near_duplicate=config.near_duplicate)
    verdicts = verdict_table(samples, space, assignment, outcome, neighbors, order)
    report = class_report(
        samples, outcome, assignment, min_images=config.min_images, weak_majority=config.weak_majority
    )
    return verdicts, report, neighbors.agreement


def _judging_order(sample_ids: Texts, labels: Texts, columns: Vectors, class_labels: Sequence[str]) -> Ids:
    """Rows by embedding and label, so that a set has one outcome in whatever form it comes; equal ones by id."""
    by_id = pc.sort_indices(_texts(sample_ids)).to_numpy().astype(np.int64)
    label_index = _label_index(_texts(labels), class_labels)
    return by_id[canonical_order(columns[by_id], label_index[by_id])]


def _sorted_samples(sample_ids: Texts, labels: Texts, class_labels: Sequence[str], order: Ids) -> SortedSamples:
    ids, given = _texts(sample_ids), _texts(labels)
    label_index, rows = _label_index(given, class_labels), pa.array(order)
    return SortedSamples(ids.take(rows), given.take(rows), label_index[order], class_labels)


def _texts(values: Texts) -> pa.Array:
    """Large strings: those of many samples may pass the 2 GiB that a string array holds."""
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        return pa.array(values, pa.large_string())
    column = values.cast(pa.large_string())
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _numbered(names: Texts) -> Ids:
    """Equal numbers [N] for equal digests or places, -1 for none."""
    encoded = _texts(names).dictionary_encode()
    return encoded.indices.fill_null(-1).to_numpy().astype(np.int64)


def _check_shapes(
    sample_ids: Texts, labels: Texts, embeddings: Vectors | StoredVectors, class_labels: Sequence[str]
) -> None:
    if not len(sample_ids):
        raise InputError("there are no samples to analyze")
    if not len(sample_ids) == len(labels) == embeddings.shape[0]:
        raise InputError(
            f"{len(sample_ids)} sample ids, {len(labels)} labels and {embeddings.shape[0]} embeddings; "
            "there must be one of each for a sample"
        )
    if not len(class_labels):
        raise InputError("there are no class labels")


def _check_space(space: SubcenterSpace | None, rows: int, classes: int) -> None:
    if space is None:
        return
    if len(space.embeddings) != rows:
        raise InputError(f"{rows} embeddings, but {len(space.embeddings)} to compare with the sub-centers")
    if len(space.subcenters) != classes:
        raise InputError(f"{classes} class labels, but sub-centers for {len(space.subcenters)} classes")
    if space.embeddings.shape[1] != space.subcenters.shape[2]:
        raise InputError(
            f"the embeddings have {space.embeddings.shape[1]} dimensions, the sub-centers {space.subcenters.shape[2]}; "
            "use embeddings of the same checkpoint"
        )


def _order_columns(sample_ids: Texts, embeddings: Vectors | StoredVectors) -> Vectors:
    """The columns that order the rows, [N, `ORDER_COLUMNS`] or fewer; InputError unless all are finite."""
    columns = np.empty((embeddings.shape[0], min(embeddings.shape[1], ORDER_COLUMNS)), embeddings.dtype)
    for rows, vectors in vector_blocks(embeddings):
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            row = int(rows[np.argmin(finite)])
            raise InputError(f"row {row + 1}: the embedding of {sample_ids[row]} is not finite; embed it again")
        columns[rows] = vectors[:, :ORDER_COLUMNS]
    return columns


def _label_index(labels: pa.Array, class_labels: Sequence[str]) -> Ids:
    position = pc.index_in(labels, pa.array(class_labels, pa.large_string()))
    if position.null_count:
        row = position.is_null().index(pa.scalar(value=True)).as_py()
        raise InputError(
            f"row {row + 1}: the label {labels[row]} has no sub-centers; train on this manifest, "
            "or use the manifest that the checkpoint was trained on"
        )
    return position.to_numpy().astype(np.int64)
