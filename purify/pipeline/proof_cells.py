"""The cells of one seed of a proof, by the stages of a run: one K = 3 training for all, one K = 1 training each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from purify.analysis.verdicts import analyze as analyze_samples
from purify.config import PurifyConfig
from purify.embedding.embedding_files import EmbeddingFiles
from purify.evaluation.detection import score_verdicts
from purify.evaluation.verification import Scores
from purify.ingest.image_roots import ImageRoots
from purify.models.checkpoint import FILE_NAME, load_checkpoint
from purify.pipeline import stages
from purify.pipeline.cleaned_tables import baseline_table, has_truth, kept_rows
from purify.pipeline.fingerprint import stage_of
from purify.pipeline.manifest_analysis import read_judging_inputs
from purify.pipeline.model_comparison import pair_scores
from purify.pipeline.proof_plan import CALIBRATED, OWN, Cell, Kind
from purify.pipeline.rounds import purify_again
from purify.pipeline.steps import Steps
from purify.pipeline.training_stage import round_model
from purify.progress import ProgressBoard
from purify.storage.files import read_table, sha256_file, write_table
from purify.storage.hashes import sha256_json
from purify.storage.locations import to_location
from purify.storage.run_folder import RunFolder
from purify.tables.manifest import ok_rows, train_rows
from purify.tables.pairs import Pairs
from purify.tables.schema import MANIFEST, VERDICTS

_COSINE = pa.schema([pa.field("cosine", pa.float64(), nullable=False)])


@dataclass(frozen=True)
class ProofSeed:
    """One seed of a proof: a run folder with several models.

    Attributes
    ----------
    run
        Its folder ``seed-N``.
    config
        Its configuration, with the seed.
    rounds
        Most rounds of the cell ``rounds``.
    own
        Embeddings of the extractor of the cell ``own-extractor``, which all seeds share.
    images
        Image roots.
    board
        Progress.
    """

    run: RunFolder
    config: PurifyConfig
    rounds: int
    own: Path | None
    images: Sequence[str]
    board: ProgressBoard

    def prepare(self, manifest: Path) -> None:
        """Take over the shared manifest, on whose images the first round trains."""
        table = read_table(manifest, MANIFEST)
        if not self.run.manifest.exists() or sha256_file(self.run.manifest) != sha256_file(manifest):
            write_table(table, self.run.manifest)
        stages.decide(self.run, [round_model(1)], self.config)

    def judge(self) -> None:
        """Embed by the K = 3 network, and judge by the rule of the configuration."""
        stages.embed(self.run, 1, self.config, self.board)
        stages.analyze(self.run, 1, self.config)

    def settle(self, cell: Cell) -> None:
        """Judge for a cell, and write its training table; what it needs of the first round is there."""
        manifest = read_table(self.run.manifest, MANIFEST)
        if cell.is_judged:
            self._judge_for(cell)
            write_table(train_rows(kept_rows(manifest, self._verdicts(cell))), self._table(cell))
        elif cell.kind == Kind.RANDOM:
            kept = len(train_rows(kept_rows(manifest, self.run.round(1).verdicts)))
            drawn = baseline_table(train_rows(manifest), "random", kept=kept, seed=self.config.seed)
            write_table(drawn, self._table(cell))

    def train(self, cell: Cell) -> None:
        """Train a cell on its table."""
        if cell.kind == Kind.SUBCENTERS:
            stages.train_round(self.run, 1, self.config, self.board)
        else:
            stages.train_model(self.run, self._model(cell), self.config, self.board)

    def checkpoint(self, cell: Cell) -> Path:
        """Folder of a cell's network."""
        if cell.kind == Kind.SUBCENTERS:
            return self.run.round(1).checkpoint
        return self.run.model(self._model(cell)) / "checkpoint"

    def score(self, cell: Cell, pairs: Pairs) -> None:
        """Write the cosines [P] of `pairs` under a cell's network."""
        path = self._scores(cell)
        inputs = {
            "model": self.checkpoint(cell) / FILE_NAME,
            "pairs": sha256_json([pairs.a, pairs.b, pairs.same.tolist()]),
            "flip": self.config.embed.flip,
            "precision": self.config.train.precision,
        }
        with stage_of(self.run, f"evaluate-{cell.name}", inputs, [path]) as pending:
            if pending:
                roots = ImageRoots([to_location(root) for root in self.images])
                shards = path.with_name("pairs.shards")
                cosines = pair_scores(pairs, roots, self.checkpoint(cell), self.config, shards=shards)
                write_table(pa.table({"cosine": cosines}, schema=_COSINE), path)

    def record_file(self, cell: Cell) -> Path:
        """Where the record of a finished cell is."""
        return self._folder(cell) / "cell.json"

    def record(self, cell: Cell, *, scored: bool) -> dict[str, Any]:
        """What a finished cell was made from and came to, plain values for JSON.

        ``seed``, ``config`` (sections that its weights depend on), ``subcenters``; hashes of its training ``table``,
        and if `scored` of its ``model`` and ``scores``, and ``n_train``; ``detection``: figures of its verdicts.
        """
        values: dict[str, Any] = {
            "cell": cell.name,
            "seed": self.config.seed,
            "subcenters": self.config.train.subcenters if cell.kind == Kind.SUBCENTERS else 1,
            "config": self.settings(cell),
            "detection": self._detection(cell),
        }
        if scored:
            files = {
                "table": self._table(cell),
                "model": self.checkpoint(cell) / FILE_NAME,
                "scores": self._scores(cell),
            }
            values["sha256"] = {name: sha256_file(path) for name, path in files.items()}
            values["n_train"] = int(load_checkpoint(self.checkpoint(cell)).extra["images"])
        return values

    def settings(self, cell: Cell) -> dict[str, Any]:
        """The settings that a cell's figures depend on, plain values for JSON."""
        values = {
            "model": self.config.model.model_dump(mode="json"),
            "train": self.config.train.recipe(),
            "analyze": self.config.analyze.model_dump(mode="json"),
            "angle": cell.angle,
            "rounds": self.rounds if cell.kind == Kind.LATER_ROUND else None,
        }
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain

    def known_scores(self, cell: Cell) -> Scores:
        """The cosines of a finished cell."""
        return read_table(self._scores(cell), _COSINE)["cosine"].to_numpy().astype(np.float64)

    def _detection(self, cell: Cell) -> dict[str, Any] | None:
        """Figures of a judged cell's verdicts against the truth; None without one."""
        manifest = ok_rows(read_table(self.run.manifest, MANIFEST))
        if not cell.is_judged or not has_truth(manifest):
            return None
        return score_verdicts(read_table(self._verdicts(cell), VERDICTS), manifest.select(["sample_id", "true_label"]))

    def _judge_for(self, cell: Cell) -> None:
        """Write the verdicts of a cell, unless they are those of the first round."""
        if cell.kind == Kind.LATER_ROUND:
            later = self.config.changed(rounds={"most": self.rounds})
            return purify_again(self.run, later, Steps(), self.board, images=self.images, learned=True)
        if cell.kind == Kind.ANGLE:
            config = self.config.changed(analyze={"rule": "official", "threshold": cell.angle})
            return self._analyze(cell, self.run.round(1).embeddings, self.run.round(1).checkpoint, config)
        if cell.name == OWN and self.own is not None:
            return self._analyze(cell, self.own, None, self.config)
        return None

    def _analyze(self, cell: Cell, embeddings: Path, checkpoint: Path | None, config: PurifyConfig) -> None:
        path = self._verdicts(cell)
        inputs = {
            "manifest": self.run.manifest,
            "embeddings": embeddings,
            "checkpoint": checkpoint / FILE_NAME if checkpoint else "projection",
            "config": config.analyze.model_dump(exclude={"checkpoint"}),
            "subcenters": config.train.subcenters,
            "seed": config.seed,
        }
        with stage_of(self.run, f"analyze-{cell.name}", inputs, [path]) as pending:
            if pending:
                manifest, vectors = read_table(self.run.manifest, MANIFEST), EmbeddingFiles(embeddings)
                given = read_judging_inputs(manifest, vectors, config, checkpoint_folder=checkpoint)
                judged = analyze_samples(config=config.analyze, seed=config.seed, **vars(given))
                write_table(judged.verdicts, path)

    def _verdicts(self, cell: Cell) -> Path:
        if cell.name == CALIBRATED:
            return self.run.round(1).verdicts
        return self.run.verdicts if cell.kind == Kind.LATER_ROUND else self._folder(cell) / "verdicts.parquet"

    def _model(self, cell: Cell) -> str:
        names = {Kind.RAW: "raw", Kind.TRUTH: "oracle"}
        return names.get(cell.kind, f"cell-{cell.name}")

    def _table(self, cell: Cell) -> Path:
        """The training table of a cell."""
        if cell.kind == Kind.SUBCENTERS:
            return self.run.round(1).training_table
        return self.run.training_table(self._model(cell))

    def _scores(self, cell: Cell) -> Path:
        return self._folder(cell) / "scores.parquet"

    def _folder(self, cell: Cell) -> Path:
        return self.run.root / "cells" / cell.name
