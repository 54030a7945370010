"""A small set with wrong labels whose whole run takes seconds."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from purify.config import PurifyConfig
from purify.storage.run_folder import RunFolder

#: What two runs on the same set must have in common, to the byte, beside the checkpoints.
RESULTS = ("manifest", "verdicts", "class_report", "embeddings", "cleaned", "removed", "labels", "evaluation")


def result_bytes(run: RunFolder) -> dict[str, bytes]:
    """The results of a run, and its checkpoints by their relative path."""
    checkpoints = sorted(run.root.rglob("model.safetensors"))
    return {
        **{name: getattr(run, name).read_bytes() for name in RESULTS},
        **{path.relative_to(run.root).as_posix(): path.read_bytes() for path in checkpoints},
    }


@dataclass(frozen=True)
class NoisySet:
    """Striped pictures with wrong labels, a table with truth, and pairs of unseen patterns."""

    images: Path
    table: Path
    pairs: Path

    def config(self, **train: object) -> PurifyConfig:
        """A configuration that takes seconds."""
        return PurifyConfig.model_validate(
            {
                "seed": 3,
                "ingest": {"images": [str(self.images)]},
                "model": {"embedding_dim": 16, "input_size": 32},
                "train": {
                    "threads": 1,
                    "epochs": 4,
                    "min_steps": 200,
                    "batch_size": 16,
                    "precision": "float32",
                    "checkpoint_seconds": 0.3,
                    **train,
                },
                "embed": {"shard_size": 32},
                "analyze": {"threshold": 85},
                "rounds": {"most": 1},
                "evaluate": {"pairs": str(self.pairs), "bootstrap": 100},
            }
        )


def draw_stripe_pattern(path: Path, angle: float, rng: np.random.Generator) -> None:
    """A noisy picture of stripes; their angle (radians) is the identity that a small network learns."""
    size = 32
    y, x = np.mgrid[:size, :size] / size
    wave = np.sin(18 * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 2 * np.pi))
    pixels = 127 + 80 * wave[..., None] + rng.normal(0, 20, (size, size, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def draw_noisy_set(folder: Path, draw_stripes: Callable[[Path, float, np.random.Generator], None]) -> NoisySet:
    rng = np.random.default_rng(1)
    rows = []
    classes, per_class = 6, 18
    for label in range(classes):
        for k in range(per_class):
            path = f"label {label}/{k:02d}.png"
            true = label if k < per_class - 4 else (label + 1 + k % (classes - 1)) % classes
            draw_stripes(folder / "images" / path, np.pi * true / classes, rng)
            rows.append({"path": path, "label": f"label {label}", "true_label": f"label {true}"})
    broken = folder / "images" / "label 0" / "broken.png"
    broken.write_bytes(b"<html>404</html>")
    rows.append({"path": "label 0/broken.png", "label": "label 0", "true_label": "label 0"})
    _write(folder / "table.csv", rows)
    pairs = []
    unseen = [np.pi * (label + 0.5) / classes for label in range(classes)]
    for fold in range(5):
        for k in range(12):
            same = k % 2 == 0
            first = k % classes
            second = first if same else (first + 1 + k % (classes - 1)) % classes
            names = [f"pairs/{who}/{fold}-{k}-{side}.png" for side, who in enumerate((first, second))]
            for name, who in zip(names, (first, second), strict=True):
                draw_stripes(folder / "images" / name, unseen[who], rng)
            pairs.append({"a": names[0], "b": names[1], "same": int(same), "fold": fold})
    _write(folder / "pairs.csv", pairs)
    return NoisySet(folder / "images", folder / "table.csv", folder / "pairs.csv")


def _write(path: Path, rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
