"""One-call API: embeddings and labels -> verdicts."""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from purify.analysis.rules.angle_rules import AngleRule
from purify.analysis.rules.function_rule import as_rule
from purify.analysis.rules.registry import get_rule
from purify.analysis.rules.removal import UNJUDGED
from purify.analysis.rules.rule import Rule, RuleContext
from purify.analysis.subcenters import SubcenterSpace
from purify.analysis.verdicts import Analysis, analyze
from purify.arrays import Mask
from purify.config import PurifyConfig
from purify.config_files import load_config
from purify.errors import InputError
from purify.evaluation.noise_rate import NoiseEstimate, estimate_noise
from purify.pipeline.judged_run import write_judged_run
from purify.pipeline.judging_rule import told_of_looks
from purify.pipeline.labeled_embeddings import LabeledEmbeddings, combine
from purify.tables.schema import Decision

_WRONG = (Decision.DROP.value, Decision.RELABEL.value)
_CALIBRATED_ONLY = ("precision", "review_budget", "keep_hard", "several_looks")


@dataclass(frozen=True, eq=False)
class Verdicts:
    """A decision with its evidence for every sample, and a report of the set.

    Attributes
    ----------
    analysis
        The tables: ``verdicts`` and ``class_report``.
    data
        The judged rows, with their embeddings.
    config
        Settings of the analysis.

    Examples
    --------
    >>> import numpy as np, purify
    >>> rng = np.random.default_rng(0)
    >>> people = np.repeat(np.arange(20), 12)
    >>> embeddings = rng.normal(size=(20, 64))[people] + 0.4 * rng.normal(size=(240, 64))
    >>> labels = [f"person {i:02d}" for i in people]
    >>> labels[5] = "person 07"
    >>> verdicts = purify.find_label_errors(embeddings, labels)
    >>> verdicts
    <Verdicts: 240 samples of 20 labels; kept 239, relabeled 1, dropped 0, to review 0; rule calibrated/7>
    >>> verdicts.to_pandas().loc[verdicts.is_error, ["label", "decision", "new_label"]].values.tolist()
    [['person 07', 'relabel', 'person 00']]
    >>> print(verdicts.classes[["label", "n", "n_kept", "flag"]].head(2))
           label   n  n_kept flag
    0  person 00  11      11   ok
    1  person 01  12      12   ok
    """

    analysis: Analysis
    data: LabeledEmbeddings
    config: PurifyConfig

    def __len__(self) -> int:
        return len(self.analysis.verdicts)

    def __repr__(self) -> str:
        decided = {decision: int((self.decision == decision.value).sum()) for decision in Decision}
        return (
            f"<Verdicts: {len(self)} samples of {len(self.analysis.class_report)} labels; "
            f"kept {decided[Decision.KEEP]}, relabeled {decided[Decision.RELABEL]}, "
            f"dropped {decided[Decision.DROP]}, to review {decided[Decision.REVIEW]}; rule {self.rule}>"
        )

    @property
    def rule(self) -> str:
        """Name and version of the applied rule: ``official/1`` or ``unjudged/1`` if `calibrated` could not judge."""
        return self.analysis.rule

    @cached_property
    def ids(self) -> npt.NDArray[np.object_]:
        """Sample ids."""
        return self._column("sample_id")

    @cached_property
    def labels(self) -> npt.NDArray[np.object_]:
        """Given labels."""
        return self._column("label")

    @cached_property
    def p_clean(self) -> npt.NDArray[np.float32]:
        """Probability that the given label is right; under `official` and `paper` a mere ranking score."""
        return self.analysis.verdicts["p_clean"].to_numpy()

    @cached_property
    def decision(self) -> npt.NDArray[np.object_]:
        """``keep``, ``relabel``, ``drop`` or ``review``."""
        return self._column("decision")

    @cached_property
    def reason(self) -> npt.NDArray[np.object_]:
        """Reason of the decision."""
        return self._column("reason")

    @cached_property
    def new_label(self) -> npt.NDArray[np.object_]:
        """Proposed label of relabeled samples; None elsewhere."""
        return self._column("new_label")

    @property
    def keep(self) -> Mask:
        """Mask of the samples kept under their label."""
        return self.decision == Decision.KEEP.value

    @property
    def is_error(self) -> Mask:
        """Mask of the samples with a wrong label: dropped or relabeled."""
        return np.isin(self.decision.astype(str), _WRONG)

    @property
    def classes(self) -> pd.DataFrame:
        """The class report: one row per label, with its noise rate and a flag for mixed or duplicate labels."""
        return self.analysis.class_report.to_pandas()

    @cached_property
    def noise_rate(self) -> NoiseEstimate:
        """Share of wrong labels: ``value``, and ``low`` to ``high``, a 95 % interval.

        Without probabilities (rules `official` and `paper`) it is the share of samples not kept.
        """
        p_clean = (self.p_clean if self.analysis.probabilities else self.keep).astype(np.float64)
        numbers = np.unique(self.labels.astype(str), return_inverse=True)[1].astype(np.int64)
        estimate = estimate_noise(p_clean, numbers, seed=self.config.seed)
        assert estimate is not None, "a set to judge has a sample"
        return estimate

    def to_pandas(self) -> pd.DataFrame:
        """All columns of the verdicts, in the order of the samples."""
        return self.analysis.verdicts.to_pandas()

    def save(self, folder: str | Path) -> Path:
        """Write a run folder, which `purify report`, `purify review` and `purify apply` accept; returns its path."""
        manifest, embeddings, source = self.data.manifest, self.data.embeddings, "purify.find_label_errors"
        run = write_judged_run(Path(folder), manifest, embeddings, self.analysis, config=self.config, source=source)
        return run.root

    def report(self, folder: str | Path | None = None) -> Path:
        """Write ``report.html`` with the run to `folder`, or to a new temporary folder; returns the page's path."""
        from purify.report.html import write_report

        return write_report(self.save(tempfile.mkdtemp(prefix="purify-") if folder is None else folder))

    def _column(self, name: str) -> npt.NDArray[np.object_]:
        column: pa.ChunkedArray = self.analysis.verdicts[name]
        return np.array(column.to_pylist(), dtype=object)


def find_label_errors(
    embeddings: Any,
    labels: Any,
    ids: Sequence[str] | None = None,
    *,
    rule: str | Rule | Callable[[RuleContext], object] = "calibrated",
    precision: float | None = None,
    images: str | Path | Sequence[str | Path] | None = None,
    review_budget: int = 0,
    keep_hard: bool = False,
    several_looks: bool = False,
    subcenters: int | None = None,
    seed: int = 0,
    **settings: Any,
) -> Verdicts:
    """Find wrong labels among embedded images.

    Parameters
    ----------
    embeddings
        From any extractor, at any scale: an array ``[N, D]``; a DataFrame or pyarrow Table with ``sample_id`` (or
        ``path``) and ``embedding``, or with D numeric columns; or the path of such a Parquet file.
    labels
        A sequence of N labels; a DataFrame or pyarrow Table with ``label`` and perhaps ``sample_id`` (or ``path``);
        or the path of such a Parquet or CSV file.
    ids
        Sample ids, if `labels` has none. Without any ids, the rows of embeddings and labels must correspond.
    rule
        ``calibrated`` measures the noise of this set; ``official`` and ``paper`` apply a fixed angle. Or the name
        of an installed package's rule (entry points ``purify.rules``), or a function of a `RuleContext` that returns a
        mask of the samples to keep, or a score in [0, 1] for each.
    precision
        Least share of wrong labels among the removed, such as 0.98. None: remove labels more probably wrong
        than right. Rule ``calibrated`` only, like the next but one and the two after it.
    images
        Folders or tars in which the ids are looked up as paths, to show faces in the report.
    review_budget
        Number of the least certain samples to leave to a person.
    keep_hard
        Keep doubtful faces unless their label is all but surely wrong.
    several_looks
        Whether the images of a label may look different from several sides, as those of a product: each look is judged
        by itself, and no label is split or merged.
    subcenters
        Sub-centers K to fit on a projection of the embeddings; requires PyTorch. None, as `purify analyze`: the angles
        in the verdicts are to the mean of the images that the rule trusts, and to the centers of those that it doubts;
        for rules by sub-centers, such as ``official`` and ``paper``, 3 are fitted. Decisions of ``calibrated`` don't
        depend on it.
    seed
        Seed of all random draws.
    **settings
        Further settings of the section ``analyze`` of the configuration: ``threshold``, ``neighbors``,
        ``near_duplicate``, ``dedupe``, ``min_images``, ``weak_majority``.

    Returns
    -------
    Verdicts
        In the order of the labels.

    Warns
    -----
    UserWarning
        If ``calibrated`` could not judge. With fewer than three labels of two pictures or more it keeps everything
        (rule ``unjudged/1``); with embeddings that hardly tell people apart, ``official`` takes over. And if right
        images may have been removed, since those of a label look different from several sides.

    Raises
    ------
    InputError
        If inputs don't fit together or can't be read, a setting is unknown or not one of the rule's, or the data can't
        support the precision.

    Examples
    --------
    >>> import numpy as np, purify
    >>> rng = np.random.default_rng(1)
    >>> people = np.repeat(np.arange(20), 12)
    >>> embeddings = rng.normal(size=(20, 32))[people] + 0.4 * rng.normal(size=(240, 32))
    >>> labels = people.copy()
    >>> labels[::10] = (labels[::10] + 3) % 20
    >>> verdicts = purify.find_label_errors(embeddings, labels)
    >>> int(verdicts.is_error.sum()), int((verdicts.is_error == (labels != people)).sum())
    (24, 240)
    >>> round(verdicts.noise_rate.value, 2)
    0.1
    """
    given = {"precision": precision, "review_budget": review_budget, "keep_hard": keep_hard}
    given |= {"several_looks": several_looks, **settings}
    chosen = get_rule(rule) if isinstance(rule, str) else as_rule(rule)
    config = _config(chosen, given, seed)
    data = combine(embeddings, labels, ids, images)
    rows = data.rows
    names, index = np.unique(np.array(rows["label"].to_pylist(), dtype=object), return_inverse=True)
    space = None
    if subcenters is not None:
        from purify.analysis.projection import fit_subcenters

        fit = fit_subcenters(data.embeddings, index, classes=len(names), subcenters=subcenters, seed=seed)
        space = SubcenterSpace(*fit)
    analysis = analyze(
        rows["sample_id"].to_pylist(),
        rows["label"].to_pylist(),
        data.embeddings,
        names.tolist(),
        config.analyze,
        space=space,
        rule=chosen,
        seed=seed,
        digests=rows["sha256"].to_pylist(),
    )
    _warn(chosen, analysis)
    return Verdicts(analysis, data, config)


def _config(rule: Rule, given: dict[str, Any], seed: int) -> PurifyConfig:
    if isinstance(rule, AngleRule) and (useless := [name for name in _CALIBRATED_ONLY if given[name]]):
        raise InputError(f"{useless[0]}: rule {rule.name} knows no probabilities; use rule calibrated, or leave it out")
    settings = [f"analyze.{name}={json.dumps(value)}" for name, value in given.items()]
    config = load_config(None, [f"seed={seed}", *settings])
    # Unvalidated: a function's name is not that of an installed rule.
    return config.changed(analyze={"rule": rule.name})


def _warn(rule: Rule, analysis: Analysis) -> None:
    if analysis.rule.partition("/")[0] != rule.name:
        instead = "" if analysis.rule == UNJUDGED else f"; rule {analysis.rule} judged by a fixed angle"
        warnings.warn(f"rule {rule.name} can't judge this set: {analysis.why}{instead}", stacklevel=3)
    if analysis.suspected_looks is not None:
        warnings.warn(f"{told_of_looks(analysis.suspected_looks)} several_looks=True", stacklevel=3)
