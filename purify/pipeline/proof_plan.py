"""The cells of a proof: the trainings of the paper's headline table, on one's own data."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from purify.config import PurifyConfig
from purify.errors import InputError, did_you_mean
from purify.evaluation.proof_table import ORACLE, RAW

K3, CALIBRATED, ROUNDS, OWN, RANDOM = "k3-raw", "calibrated", "rounds", "own-extractor", "random"
#: Angles of the paper's ablation in degrees (ArcFace, TPAMI, Table 3, rows 6 to 9).
PAPER_ANGLES = (70.0, 75.0, 80.0, 85.0)
#: The angle that the paper settles on, with which ours is compared.
PAPER_ANGLE = 75.0


class Kind(enum.StrEnum):
    """Where a cell's training images come from."""

    RAW = "all images"
    SUBCENTERS = "all images, K sub-centers"
    ANGLE = "kept by the rule official"
    JUDGED = "kept by the rule asked for"
    LATER_ROUND = "kept by the last of several rounds"
    RANDOM = "as many as kept by the rule asked for, drawn at random"
    TRUTH = "right labels"


@dataclass(frozen=True)
class Cell:
    """One row of the table: a training set, and the network that is trained on it.

    Attributes
    ----------
    name
        Name of its files, such as ``official-75``.
    title
        Its row in the table, in the paper's words.
    kind
        Where its images come from.
    angle
        Largest angle to the dominant sub-center, in degrees; for `Kind.ANGLE` only.
    """

    name: str
    title: str
    kind: Kind
    angle: float | None = None

    @property
    def is_judged(self) -> bool:
        """Whether its images are those kept by verdicts, which the truth can score."""
        return self.kind in (Kind.ANGLE, Kind.JUDGED, Kind.LATER_ROUND)

    @property
    def needs_verdicts(self) -> bool:
        """Whether it can be trained only after the first round has judged."""
        return self.is_judged or self.kind == Kind.RANDOM


@dataclass(frozen=True)
class ProofPlan:
    """What a proof computes.

    Attributes
    ----------
    seeds
        Training seeds.
    angles
        Thresholds of the rule `official`, in degrees.
    rounds
        Most rounds of the cell ``rounds``.
    only
        Names of the cells to compute, and what they need; empty: all.
    jobs
        Trainings side by side; results don't depend on it.
    """

    seeds: Sequence[int] = (0, 1, 2)
    angles: Sequence[float] = PAPER_ANGLES
    rounds: int = 2
    only: Sequence[str] = ()
    jobs: int = 2


def plan_cells(plan: ProofPlan, config: PurifyConfig, *, truth: bool, extractor: str | None) -> list[Cell]:
    """The cells in the order of the table.

    The oracle needs the `truth`. `extractor` names the extractor of ``run-flow`` where it isn't the network trained on
    these labels: it gets a cell of its own, since the others all judge by the one K = 3 training.

    Raises
    ------
    InputError
        If ``plan.only`` names an unknown cell.
    """
    k, rule = config.train.subcenters, config.analyze.rule
    cells = [
        Cell(RAW, "K=1, raw", Kind.RAW),
        Cell(K3, f"K={k}, raw", Kind.SUBCENTERS),
        *(Cell(angle_name(angle), f"K={k}->1, > {angle:g} deg dropped", Kind.ANGLE, angle) for angle in plan.angles),
        Cell(CALIBRATED, f"K={k}->1, rule {rule}", Kind.JUDGED),
        *([Cell(ROUNDS, f"K={k}->1, rule {rule}, {plan.rounds} rounds", Kind.LATER_ROUND)] if plan.rounds > 1 else []),
        *([Cell(OWN, f"rule {rule} on {extractor}", Kind.JUDGED)] if extractor else []),
        Cell(RANDOM, "random drop, as many", Kind.RANDOM),
        *([Cell(ORACLE, "oracle: right labels", Kind.TRUTH)] if truth else []),
    ]
    names = [cell.name for cell in cells]
    for name in plan.only:
        if name not in names:
            known = f"{', '.join(names)}{did_you_mean(name, names)}"
            raise InputError(f"--cell {name}: there is no such cell; the cells are {known}")
    return [cell for cell in cells if not plan.only or cell.name in plan.only]


def comparisons(cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """Which cells are compared with which: all with raw and the oracle, ours with random and the paper's angle."""
    names = [cell.name for cell in cells]
    paper = angle_name(PAPER_ANGLE)
    pairs = [(name, RAW) for name in names if name != RAW]
    for ours in (CALIBRATED, ROUNDS, OWN):
        pairs += [(ours, other) for other in (paper, RANDOM)]
    pairs += [(paper, RANDOM), (ROUNDS, CALIBRATED), (OWN, CALIBRATED)]
    pairs += [(name, ORACLE) for name in names if name not in (RAW, ORACLE)]
    there = set(names)
    return [pair for pair in pairs if set(pair) <= there]


def angle_name(angle: float) -> str:
    """Name of the cell of an angle, such as ``official-75``."""
    return f"official-{angle:g}"


def seeded(config: PurifyConfig, seed: int, *, jobs: int) -> PurifyConfig:
    """The configuration of one seed: its network is trained on these labels, and judged by."""
    own = config.changed(extractor={"name": "scratch"}, train={"parallel": jobs})
    return own.model_copy(update={"seed": seed})
