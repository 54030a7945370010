"""Drawn sets of every kind of noise, and what is known of their verdicts, row by row.

``python -m tests.analysis.drawn_scenarios`` writes the answers anew, for a rule of a new version. Look at the diff: it
is what the change does to decisions and probabilities.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from purify.analysis.subcenters import SubcenterSpace
from purify.analysis.verdicts import Analysis, analyze
from purify.config import AnalyzeConfig

ANSWERS = Path(__file__).parent / "known_answers"
_DIM = 32


class _Drawing:
    """A set that grows by groups of images of one person under one label."""

    def __init__(self, seed: int, spread: float) -> None:
        self.rng, self.spread = np.random.default_rng(seed), spread
        self.labels: list[str] = []
        self.rows: list[np.ndarray] = []

    def person(self, like: np.ndarray | None = None, likeness: float = 0.0) -> np.ndarray:
        """A new person; of some likeness to another one."""
        center = self.rng.normal(size=_DIM)
        return center if like is None else likeness * like + np.sqrt(1 - likeness**2) * center

    def show(self, person: np.ndarray, label: str, images: int) -> None:
        """Images of a person under a label; some are blurred: short, and near to everybody."""
        for _ in range(images):
            row = person + self.spread * self.rng.normal(size=_DIM)
            blurred = self.rng.random() < 0.05
            self.rows.append((0.4 * row + 0.9 if blurred else row + 0.5) * self.rng.uniform(0.8, 1.2))
            self.labels.append(label)

    def repeat(self, row: int, label: str, change: float) -> None:
        """Another copy of an image, re-encoded, under a label."""
        self.rows.append(self.rows[row] + change * self.rng.normal(size=_DIM))
        self.labels.append(label)


def _web(seed: int, spread: float = 0.75) -> _Drawing:
    """Labels of 2 to 22 images with flips, strangers, look-alikes, two people under one label, one under two."""
    drawing = _Drawing(seed, spread)
    people = [drawing.person() for _ in range(16)]
    people += [drawing.person(people[k], 0.6) for k in range(4)]
    for number, person in enumerate(people):
        size = 2 + (number * 7) % 21
        drawing.show(person, f"p{number:02d}", size)
        drawing.show(people[(number * 3 + 1) % len(people)], f"p{number:02d}", size // 7)
        drawing.show(drawing.person(), f"p{number:02d}", size // 8)
    drawing.show(people[1], "p01 again", 9)
    drawing.show(drawing.person(), "p05", 8)
    drawing.repeat(3, drawing.labels[3], 0.02)
    drawing.repeat(40, drawing.labels[40], 0.02)
    drawing.repeat(60, "p02", 0.01)
    return drawing


def _tail(seed: int) -> _Drawing:
    """Many labels of one to six images: singles, flips to other labels, strangers, one picture under two labels."""
    drawing = _Drawing(seed, 0.7)
    people = [drawing.person() for _ in range(70)]
    for number, person in enumerate(people):
        size = 1 + number % 6
        drawing.show(person, f"q{number:02d}", size)
        if number % 5 == 2:
            drawing.show(people[(number + 11) % 70], f"q{number:02d}", 1)
        if number % 7 == 3:
            drawing.show(drawing.person(), f"q{number:02d}", 1)
    drawing.show(people[9], "q09 b", 4)
    drawing.repeat(10, "q33", 0.005)
    return drawing


def _many(seed: int) -> _Drawing:
    """Many labels of seven images, of which two are of other people: doubted images count by their probabilities."""
    drawing = _Drawing(seed, 0.8)
    people = [drawing.person() for _ in range(56)]
    for number, person in enumerate(people):
        drawing.show(person, f"r{number:02d}", 5)
        drawing.show(people[(number * 5 + 9) % 56], f"r{number:02d}", 1)
        drawing.show(drawing.person() if number % 2 else people[(number + 1) % 56], f"r{number:02d}", 1)
    return drawing


def _judged(drawing: _Drawing, *, head: bool = False, **config: Any) -> Analysis:
    embeddings = np.asarray(drawing.rows, np.float32)
    names = sorted(set(drawing.labels))
    label = np.array([names.index(name) for name in drawing.labels])
    space = None
    if head:
        means = np.stack([embeddings[label == k].mean(axis=0) for k in range(len(names))])
        rng = np.random.default_rng(7)
        centers = np.stack([means, *(means + 2 * rng.normal(size=means.shape) for _ in range(2))], axis=1)
        space = SubcenterSpace.of(embeddings, centers.astype(np.float32))
    ids = [f"{number:03d}" for number in range(len(label))]
    return analyze(ids, drawing.labels, embeddings, names, AnalyzeConfig(**config), space=space, seed=1)


SCENARIOS: dict[str, Callable[[], Analysis]] = {
    "web": lambda: _judged(_web(1), dedupe=True, near_duplicate=0.99),
    "web-hard": lambda: _judged(_web(2, 0.9), review_budget=9, keep_hard=True),
    "many": lambda: _judged(_many(6)),
    "tail": lambda: _judged(_tail(3)),
    "official": lambda: _judged(_web(4), head=True, rule="official", threshold=60, neighbors=7),
    "paper": lambda: _judged(_web(5), head=True, rule="paper", threshold=65, min_images=5, weak_majority=0.8),
}


def answers(analysis: Analysis) -> str:
    """Verdicts and class report as lines of JSON, numbers rounded."""
    rows = [*_rounded(analysis.verdicts), *_rounded(analysis.class_report)]
    head = {"rule": analysis.rule, "probabilities": analysis.probabilities, "why": analysis.why}
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [head, *rows])


def _rounded(table: pa.Table) -> list[Any]:
    return [[_value(value) for name, value in row.items() if name != "rule"] for row in table.to_pylist()]


def _value(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else float(f"{value:.5g}")
    if isinstance(value, dict):
        return [_value(item) for item in value.values()]
    return [_value(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    for name, judge in SCENARIOS.items():
        (ANSWERS / f"{name}.jsonl").write_text(answers(judge()), encoding="utf-8")
