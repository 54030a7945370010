"""Images of a test set, listed with their people, that a model has seen in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from purify.ingest.image_roots import ImageRoots
from purify.pipeline.seen_images import seen_in_training
from purify.tables.manifest import ok_rows
from purify.tables.pairs import person_of


@dataclass(eq=False)
class TrainedImages:
    """The training set of the models under test, by its `manifest`; None: it is not known, and nothing is left out.

    Every image is looked up once, however many models are measured.
    """

    roots: ImageRoots
    manifest: pa.Table | None
    seen: dict[str, bool] = field(default_factory=dict)

    def unseen(self, names: Sequence[str], people: Sequence[str] | None = None) -> npt.NDArray[np.bool_]:
        """Which of the images ``names[N]`` and of their ``people[N]`` were not trained on, bool[N].

        A person counts as seen as a label, as the folder of a training image, or by one of their images.
        """
        if self.manifest is None:
            return np.ones(len(names), dtype=bool)
        rows = ok_rows(self.manifest)
        if unknown := [name for name in names if name not in self.seen]:
            found = seen_in_training(unknown, self.roots, rows)
            self.seen |= {name: name in found for name in unknown}
        if people is None:
            return np.array([not self.seen[name] for name in names], dtype=bool)
        known = {*rows["label"].to_pylist(), *map(person_of, rows["sample_id"].to_pylist())} - {None, ""}
        known |= {person for name, person in zip(names, people, strict=True) if self.seen[name]}
        return np.array([person not in known for person in people], dtype=bool)
