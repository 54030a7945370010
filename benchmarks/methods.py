"""The methods by name: our rules, through the public stage, and the rivals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np

from benchmarks import rivals
from benchmarks.density import largest_clusters
from benchmarks.margins import area_under_margin
from benchmarks.rivals import Scores
from benchmarks.scenarios import Scenario, class_index
from benchmarks.vectors import LabeledVectors
from benchmarks.votes import neighbor_vote
from purify.analysis.rules.registry import get_rule, rule_names
from purify.config import AnalyzeConfig, PurifyConfig
from purify.pipeline.manifest_analysis import analyze_manifest
from purify.tables.schema import Decision


@dataclass(frozen=True)
class Method:
    """A way to find wrong labels: ``run(scenario, seed)``; `package` must be importable for it."""

    name: str
    run: Callable[[Scenario, int], Scores]
    package: str | None = None

    def missing(self) -> str | None:
        """Reason why it can't run here, and a remedy; None if it can."""
        if self.package is None or find_spec(self.package) is not None:
            return None
        return (
            f"{self.name} needs the package {self.package}, which is not installed; "
            'install the extra: pip install -c constraints.txt -e ".[benchmark]"'
        )


def our_rule(scenario: Scenario, seed: int, *, rule: str, several_looks: bool = False) -> Scores:
    """Verdicts of one of our rules; all but kept images count as removed, ``new_label`` as the suggestion."""
    config = PurifyConfig(
        seed=seed, analyze=AnalyzeConfig.model_validate({"rule": rule, "several_looks": several_looks})
    )
    verdicts = analyze_manifest(scenario.manifest, scenario.embeddings, config).verdicts
    decision = np.asarray(verdicts["decision"].to_pylist(), dtype=object)
    new_label = np.asarray(verdicts["new_label"].to_pylist(), dtype=object)
    relabels = decision == Decision.RELABEL.value
    suggested = np.where(relabels, class_index(new_label, np.asarray(scenario.class_labels, dtype=object)), -1)
    return Scores(
        trust=verdicts["p_clean"].to_numpy().astype(np.float64),
        removed=decision != Decision.KEEP.value,
        meaning="probability" if get_rule(rule).probabilities else "order",
        suggested=suggested if relabels.any() else None,
    )


def _rival(scenario: Scenario, seed: int, *, judge: Callable[[LabeledVectors, int], Scores]) -> Scores:
    return judge(scenario.data, seed)


def _dbscan(scenario: Scenario, seed: int) -> Scores:
    return largest_clusters(scenario.data, scenario.truth)


def all_methods() -> dict[str, Method]:
    """Name -> method: each rule, also those of installed packages; then the rivals."""
    ours = [Method(rule, partial(our_rule, rule=rule)) for rule in rule_names()]
    ours.append(Method("several_looks", partial(our_rule, rule="calibrated", several_looks=True)))
    others = [
        Method("cleanlab", partial(_rival, judge=rivals.cleanlab_default), "cleanlab"),
        Method("argmax", partial(_rival, judge=rivals.nearest_centroid)),
        Method("pml", partial(_rival, judge=rivals.subcenter_arcface), "pytorch_metric_learning"),
        Method("knn", partial(_rival, judge=rivals.neighbor_agreement)),
        Method("selfclean", partial(_rival, judge=rivals.selfclean_label_errors)),
        Method("class_mean_otsu", partial(_rival, judge=rivals.class_mean_otsu)),
        Method("class_mean_mad", partial(_rival, judge=rivals.class_mean_mad)),
        Method("aum", partial(_rival, judge=area_under_margin)),
        Method("dbscan", _dbscan, "sklearn"),
        Method("simifeat", partial(_rival, judge=neighbor_vote)),
        Method("random", partial(_rival, judge=rivals.coin)),
    ]
    return {method.name: method for method in (*ours, *others)}
