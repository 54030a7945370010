"""The folder of a run: where each file lies, and which stages are done.

A stage leaves a small record of what it read and what it wrote, by hash, and of the code that did it. On resume a
stage whose record still matches is skipped; everything else is done again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from purify.code_version import code_version
from purify.errors import InputError
from purify.manifest.io import read_json, sha256_file, write_json


@dataclass(frozen=True)
class RoundFolder:
    """Paths of one round of a run."""

    root: Path

    @property
    def training_table(self) -> Path:
        """``train.parquet``: what the round before kept, under its final labels; round 1 trains on the manifest."""
        return self.root / "train.parquet"

    @property
    def checkpoint(self) -> Path:
        """Checkpoint folder of the sub-center model."""
        return self.root / "checkpoint"

    @property
    def embeddings(self) -> Path:
        """``embeddings.parquet``."""
        return self.root / "embeddings.parquet"

    @property
    def verdicts(self) -> Path:
        """``verdicts.parquet``."""
        return self.root / "verdicts.parquet"

    @property
    def class_report(self) -> Path:
        """``class_report.parquet``."""
        return self.root / "class_report.parquet"

    @property
    def changes(self) -> Path:
        """``changes.parquet``: samples that ended otherwise than in the round before; none in round 1."""
        return self.root / "changes.parquet"


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    root: Path

    @property
    def info(self) -> Path:
        """``run.json``: config, seeds, versions, timings, counts."""
        return self.root / "run.json"

    @property
    def manifest(self) -> Path:
        """``manifest.parquet``."""
        return self.root / "manifest.parquet"

    @property
    def last_round(self) -> RoundFolder:
        """The last finished round that ``run.json`` tells of, whose verdicts are the run's; round 1 without one."""
        info = read_json(self.info) if self.info.exists() else {}
        finished = info.get("rounds") or [{"round": 1}]
        return self.round(finished[-1]["round"])

    @property
    def embeddings(self) -> Path:
        """Embeddings of the last round."""
        return self.last_round.embeddings

    @property
    def verdicts(self) -> Path:
        """Verdicts of the last round."""
        return self.last_round.verdicts

    @property
    def class_report(self) -> Path:
        """Class report of the last round."""
        return self.last_round.class_report

    @property
    def cleaned(self) -> Path:
        """``cleaned.parquet``."""
        return self.root / "cleaned.parquet"

    @property
    def removed(self) -> Path:
        """``removed.parquet``."""
        return self.root / "removed.parquet"

    @property
    def labels(self) -> Path:
        """``labels.parquet``."""
        return self.root / "labels.parquet"

    @property
    def reviews(self) -> Path:
        """``reviews.parquet``: what people decided; there is none before the first review."""
        return self.root / "reviews.parquet"

    @property
    def given_reviews(self) -> Path | None:
        """``reviews.parquet`` if it is there."""
        return self.reviews if self.reviews.exists() else None

    @property
    def evaluation(self) -> Path:
        """``evaluation.json``."""
        return self.root / "evaluation.json"

    @property
    def report(self) -> Path:
        """``report.html``."""
        return self.root / "report.html"

    def round(self, number: int) -> RoundFolder:
        """Folder of a round, from 1: checkpoint, embeddings, verdicts, class report."""
        return RoundFolder(self.root / f"round-{number}")

    def model(self, name: str) -> Path:
        """Folder of a K = 1 model: ``purified`` is the product, the others are what it is compared with."""
        return self.root / "retrain" if name == "purified" else self.root / "baselines" / name

    @contextmanager
    def lock(self, *, when_busy: Callable[[str], object] | None = None) -> Iterator[None]:
        """Hold the run for this process; the kernel frees it when the process dies.

        Parameters
        ----------
        when_busy
            Told that another process holds it, before waiting for that one to end; None: don't wait.

        Raises
        ------
        InputError
            If another process is at work in this folder, and `when_busy` is None.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                busy = f"{self.root}: another purify process is at work on this run"
                if when_busy is None:
                    raise InputError(f"{busy}; wait for its end") from error
                when_busy(busy)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def update_info(self, **entries: Any) -> None:
        """Merge `entries` into ``run.json`` (one level deep for mappings)."""
        info = read_json(self.info) if self.info.exists() else {}
        for key, value in entries.items():
            if isinstance(value, Mapping) and isinstance(info.get(key), dict):
                info[key] = {**info[key], **value}
            else:
                info[key] = value
        write_json(self.info, info)

    def stage_done(self, stage: str, inputs: Mapping[str, Any]) -> bool:
        """Whether `stage` was finished, from the same `inputs` by the same code, and its files are as it left them."""
        path = self._record(stage)
        if not path.exists():
            return False
        record = read_json(path)
        same_work = record["inputs"] == fingerprint(inputs) and record.get("code") == code_version(stage)
        return same_work and all(
            (self.root / name).is_file() and sha256_file(self.root / name) == digest
            for name, digest in record["outputs"].items()
        )

    def run_stage(
        self, stage: str, inputs: Mapping[str, Any], outputs: Sequence[Path], work: Callable[[], None]
    ) -> None:
        """Do `work` unless it is done.

        `inputs` are JSON values; a Path among them stands for the content of that file.
        """
        if self.stage_done(stage, inputs):
            return
        began = time.monotonic()
        work()
        seconds = round(time.monotonic() - began, 3)
        digests = {path.relative_to(self.root).as_posix(): sha256_file(path) for path in outputs}
        record = {"inputs": fingerprint(inputs), "code": code_version(stage), "outputs": digests, "seconds": seconds}
        write_json(self._record(stage), record)

    def stage_seconds(self) -> dict[str, float]:
        """Seconds of each finished stage."""
        records = sorted((self.root / "stages").glob("*.json"))
        return {path.stem: read_json(path)["seconds"] for path in records}

    def _record(self, stage: str) -> Path:
        return self.root / "stages" / f"{stage}.json"


def fingerprint(inputs: Mapping[str, Any]) -> str:
    """Hash of a stage's inputs; a Path is hashed by its file's content."""
    plain = {key: f"sha256:{sha256_file(value)}" if isinstance(value, Path) else value for key, value in inputs.items()}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
