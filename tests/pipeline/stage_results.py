"""The results of every stage on small drawn inputs, in a form that library versions do not change.

Each stage gets inputs of its own, so that only the stage whose results changed is named. ``golden.json`` holds the
results of the present versions; ``python -m tests.pipeline.stage_results`` renews it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from purify.config import AlignConfig, PurifyConfig
from purify.embedding.blocks import run_here
from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from purify.models.heads import SubcenterHead
from purify.pipeline import stages
from purify.pipeline.fingerprint import stage_version
from purify.pipeline.run import run as purify_run
from purify.pipeline.training_tables import settle_first_table, settle_table
from purify.pipeline.update_log import finish_update
from purify.progress import silent
from purify.storage.files import read_json, read_table, write_table
from purify.storage.run_folder import RunFolder
from purify.tables.schema import CLEANED, INVERSIONS, MANIFEST, PHOTO_COLUMNS, REVIEWS, VERDICTS
from purify.training.job import TrainJob
from purify.training.rank import train_rank
from tests.detector_models import write_detector, write_photo

GOLDEN = Path(__file__).with_name("golden.json")
COMMAND = "python -m tests.pipeline.stage_results"

SIZE, DIM = 32, 16
CONFIG = PurifyConfig.model_validate(
    {
        "seed": 5,
        "model": {"embedding_dim": DIM, "input_size": SIZE},
        "train": {
            "threads": 1,
            "epochs": 2,
            "min_steps": 6,
            "batch_size": 8,
            "precision": "float32",
            "workers": 1,
            "subcenters": 2,
        },
        "evaluate": {"bootstrap": 100},
    }
)
Results = dict[str, Any]


def ingest(folder: Path) -> Results:
    """Manifest of a folder with a good, a small, a broken and a duplicate image."""
    source, run = folder / "faces", RunFolder(folder / "run")
    for label in "ab":
        for k in range(3):
            _draw(source / label / f"{k}.ppm", seed=ord(label) + k)
    _draw(source / "a" / "small.ppm", seed=9, size=8)
    (source / "b" / "page.png").write_bytes(b"<html>404</html>")
    (source / "b" / "twin.ppm").write_bytes((source / "b" / "0.ppm").read_bytes())
    stages.ingest(run, str(source), CONFIG, decode=True)
    return _plain(read_table(run.manifest, MANIFEST).drop_columns(["uri", "status_reason"]))


def align(folder: Path) -> Results:
    """Faces of photos with two, one and none, by a detector with known answers."""
    run = RunFolder(folder / "run")
    for name, cells in {"a/two.png": [(5, 2), (3, 5)], "a/one.png": [(2, 2)], "b/none.png": []}.items():
        write_photo(folder / "photos" / name, cells)
    detector = write_detector(folder / "scrfd.onnx", "scrfd")
    settings = {"enabled": True, "detector": str(detector), "size": SIZE}
    config = CONFIG.model_copy(update={"align": AlignConfig(**settings)})
    stages.ingest(run, str(folder / "photos"), config, decode=True)
    stages.align(run, config, run_blocks=run_here)
    return _plain(read_table(run.manifest, MANIFEST).drop_columns(["uri", "photo_uri", "photo_sha256", "sha256"]))


def table(folder: Path) -> Results:
    """What is trained on: at first, after few and after many new images, and after many removed ones."""
    run = RunFolder(folder / "run")
    names, results = [f"{label}{k}" for label in "abc" for k in range(8)], {}
    for step, given in {
        "first": names,
        "few new": [*names, "a8"],
        "many new": [*names, *(f"d{k}" for k in range(9))],
    }.items():
        write_table(_manifest(given), run.manifest)
        decision = settle_first_table(run, CONFIG, trained=step != "first")
        results[step] = [decision.because, _ids(run.round(1).training_table, MANIFEST)]
        finish_update(run)
    for step, kept in {"purified": names, "one removed": names[1:], "many removed": names[9:]}.items():
        settle_table(run, "purified", _cleaned(kept), CONFIG, trained=True)
        results[step] = _ids(run.training_table("purified"), CLEANED)
    return results


def train(folder: Path) -> Results:
    """Losses of a few steps; the labels and shape of the head."""
    rows = []
    for k in range(24):
        _draw(folder / f"{k:02d}.ppm", seed=k % 3, noise=k)
        rows.append({"sample_id": f"{k:02d}", "uri": (folder / f"{k:02d}.ppm").as_uri(), "label": "xyz"[k % 3]})
    file = folder / "train.parquet"
    write_table(pa.Table.from_pylist([row | {"status": "ok"} for row in rows], schema=MANIFEST), file)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train_rank(TrainJob.of(CONFIG, table=file, folder=folder / "model", subcenters=2), silent)
    finally:
        torch.set_num_threads(threads)
    checkpoint = load_checkpoint(folder / "model" / "checkpoint")
    return {
        "labels": list(checkpoint.labels),
        "head": list(checkpoint.head_weight.shape),
        "images": checkpoint.extra["images"],
        "loss": [round(loss, 2) for loss in checkpoint.extra["epoch_losses"]],
    }


def embed(folder: Path) -> Results:
    """Embeddings of a few images by a backbone with drawn weights."""
    run = RunFolder(folder / "run")
    for k in range(4):
        _draw(folder / "faces" / "ab"[k % 2] / f"{k}.ppm", seed=k)
    stages.ingest(run, str(folder / "faces"), CONFIG, decode=True)
    _save_model(run.round(1).checkpoint, labels=("a", "b"), seed=0)
    stages.embed(run, 1, CONFIG)
    return _plain(pa.parquet.read_table(run.round(1).embeddings).select(["sample_id", "embedding"]))


def analyze(folder: Path) -> Results:
    """Verdicts and class report by each rule, with sub-centers of a head and with fitted ones."""
    run = RunFolder(folder / "run")
    names, labels, vectors = _gaussian_people()
    write_table(_manifest(names, labels), run.manifest)
    _write_embeddings(folder / "embeddings.parquet", names, vectors)
    results: Results = {}
    for rule in ("calibrated", "official", "paper"):
        config = CONFIG.model_copy(update={"analyze": CONFIG.analyze.model_copy(update={"rule": rule})})
        stages.analyze(run, 1, config, embeddings=folder / "embeddings.parquet")
        verdicts, report = read_table(run.verdicts, VERDICTS), pa.parquet.read_table(run.class_report)
        results[rule] = {"verdicts": _plain(verdicts), "classes": _plain(report.drop_columns(["merge_with"]))}
    _save_model(run.round(1).checkpoint, labels=tuple(sorted(set(labels))), seed=1)
    _write_embeddings(run.round(1).embeddings, names, vectors)
    stages.analyze(run, 1, CONFIG)
    results["trained head"] = _plain(read_table(run.verdicts, VERDICTS))
    return results


def compare(folder: Path) -> Results:
    """Changes between the verdicts of two rounds."""
    run = RunFolder(folder / "run")
    rows = _verdicts()
    write_table(pa.Table.from_pylist(rows, schema=VERDICTS), run.round(1).verdicts)
    rows[0] |= {"decision": "drop", "reason": "open_set", "p_clean": 0.2}
    rows[4] |= {"decision": "keep", "reason": "near_dominant", "new_label": None, "p_clean": 0.7}
    write_table(pa.Table.from_pylist(rows, schema=VERDICTS), run.round(2).verdicts)
    summary = stages.compare(run, 2, CONFIG)
    return {"summary": _rounded(vars(summary)), "changes": _plain(pa.parquet.read_table(run.round(2).changes))}


def apply(folder: Path) -> Results:
    """Cleaned, removed and labels tables from verdicts of all decisions, and reviews."""
    run, rows = RunFolder(folder / "run"), _verdicts()
    write_table(_manifest([row["sample_id"] for row in rows]), run.manifest)
    write_table(pa.Table.from_pylist(rows, schema=VERDICTS), run.verdicts)
    at = datetime(2026, 1, 2, tzinfo=UTC)
    reviews = [
        {"sample_id": "a1", "decision": "drop", "reviewer": "ann", "at": at},
        {"sample_id": "a2", "decision": "relabel", "new_label": "new", "reviewer": "ann", "at": at},
    ]
    write_table(pa.Table.from_pylist(reviews, schema=REVIEWS), run.reviews)
    stages.apply(run)
    return {name: _plain(pa.parquet.read_table(getattr(run, name))) for name in ("cleaned", "removed", "labels")}


def evaluate(folder: Path) -> Results:
    """Verification of two models with drawn weights."""
    run = _measured(folder, {"pairs": str(folder / "pairs.csv")})
    return _rounded(read_json(run.evaluation))


def protocols(folder: Path) -> Results:
    """The same pairs as a protocol: in folds, with thresholds of the other folds."""
    run = _measured(folder, {"protocols": ["pairs"], "data": [str(folder / "pairs.csv")]})
    return _rounded(read_json(run.protocols))


def _measured(folder: Path, settings: Mapping[str, Any]) -> RunFolder:
    """A run with two models of drawn weights, measured on drawn pairs by these settings of ``evaluate``."""
    run, images = RunFolder(folder / "run"), folder / "images"
    pairs = []
    for k in range(40):
        same = k % 2 == 0
        for side in "ab":
            _draw(
                images / f"{k}{side}.ppm",
                seed=k if same or side == "a" else 100 + k,
                noise=2 * k + (side == "a"),
                grain=400,
            )
        pairs.append({"a": f"{k}a.ppm", "b": f"{k}b.ppm", "same": int(same), "fold": k % 10})
    pd.DataFrame(pairs).to_csv(folder / "pairs.csv", index=False)
    write_table(_manifest(["x0", "y0"]), run.round(1).training_table)
    models = ("raw", "purified")
    for seed, name in enumerate(models):
        _save_model(run.model(name) / "checkpoint", labels=("x", "y"), seed=seed)
    section = CONFIG.evaluate.model_copy(update=dict(settings))
    stages.evaluate(run, models, CONFIG.model_copy(update={"evaluate": section}), images=[str(images)])
    return run


def invert(folder: Path) -> Results:
    """Whose faces are made of a judged run, and their number; the pixels are left to the machine."""
    run = RunFolder(folder / "run")
    names, labels, vectors = _gaussian_people()
    write_table(_manifest(names, labels), run.manifest)
    _save_model(run.round(1).checkpoint, labels=tuple(sorted(set(labels))), seed=1)
    _write_embeddings(run.round(1).embeddings, names, vectors)
    stages.analyze(run, 1, CONFIG)
    section = CONFIG.invert.model_copy(update={"steps": 2, "least_batch": 2, "labels": 3, "octaves": 2})
    stages.invert(run, CONFIG.model_copy(update={"invert": section}))
    made = read_table(run.inversions / "inversions.parquet", INVERSIONS)
    return _plain(made.select(["target", "kind", "label", "subcenter", "path", "batch", "seed"]))


def update(folder: Path) -> Results:
    """A whole run on given embeddings, and its update by ten rows: what is said of them, and which stages ran."""
    names, labels, vectors = _gaussian_people()
    results: Results = {}
    for step, rows in {"first": len(names) - 10, "grown": len(names), "again": len(names)}.items():
        lines = {"path": names[:rows], "label": labels[:rows]}
        pd.DataFrame(lines).to_csv(folder / "table.csv", index=False)
        _write_embeddings(folder / "embeddings.parquet", names[:rows], vectors[:rows])
        given, out = folder / "embeddings.parquet", folder / "run"
        summary = purify_run(folder / "table.csv", out, CONFIG, embeddings=given, progress=False).summary()
        told = {key: value for key, value in summary.items() if key not in ("run", "report")}
        counted = ("nothing_new", "rows", "ok", "cleaned", "removed")
        figures = {key: value for key, value in told.items() if key.startswith("update_") or key in counted}
        results[step] = {
            "figures": {key: value for key, value in figures.items() if key != "update_models"},
            "stages": sorted(path.stem for path in (out / "stages").iterdir()),
        }
    return results


STAGES: dict[str, Callable[[Path], Results]] = {
    function.__name__: function
    for function in (ingest, align, table, train, embed, analyze, compare, apply, evaluate, protocols, invert, update)
}


def _draw(path: Path, *, seed: int, size: int = SIZE, noise: int = 0, grain: int = 40) -> None:
    """Blocks of color, as an uncompressed file whose bytes no encoder decides."""
    blocks = np.random.default_rng(seed).integers(0, 200, (4, 4, 3))
    grains = np.random.default_rng([7, noise]).integers(0, grain, (size, size, 3))
    pixels = (np.kron(blocks, np.ones((size // 4, size // 4, 1))) + grains).clip(0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"P6\n{size} {size}\n255\n".encode() + pixels.tobytes())


def _gaussian_people() -> tuple[list[str], list[str], np.ndarray]:
    """Five people, far apart; every eighth image carries the label of the next one, every thirtieth is of nobody."""
    rng, count = np.random.default_rng(3), 120
    centers = np.linalg.qr(rng.normal(size=(DIM, 5)))[0].T
    given = np.arange(count) % 5
    true = np.where(np.arange(count) // 5 % 8 == 0, (given + 1) % 5, given)
    vectors = centers[true] + 0.08 * rng.normal(size=(count, DIM))
    vectors[7::30] = 0.3 * rng.normal(size=(4, DIM))
    vectors = vectors.astype(np.float32)
    return [f"{k:03d}" for k in range(count)], [f"p{label}" for label in given], vectors


def _write_embeddings(path: Path, names: Sequence[str], vectors: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    pa.parquet.write_table(pa.table({"sample_id": list(names), "embedding": column}), path)


def _save_model(folder: Path, *, labels: tuple[str, ...], seed: int) -> None:
    """A checkpoint whose weights NumPy draws: its stream stays the same over versions."""
    rng = np.random.default_rng(seed)
    backbone = build_backbone("iresnet_small", embedding_dim=DIM, input_size=SIZE)
    head = SubcenterHead(len(labels), DIM, subcenters=2)
    with torch.no_grad():
        for weight in [*backbone.parameters(), *head.parameters()]:
            scale = 1.0 if weight.ndim < 2 else (2.0 / weight[0].numel()) ** 0.5
            drawn = (
                rng.uniform(0.5, 1.0, tuple(weight.shape)) if weight.ndim < 2 else rng.normal(size=tuple(weight.shape))
            )
            weight.copy_(torch.from_numpy(np.asarray(scale * drawn, dtype=np.float32)))
    checkpoint = Checkpoint.of(
        backbone.eval(), head, backbone_name="iresnet_small", input_size=SIZE, labels=labels, extra={"images": 2}
    )
    save_checkpoint(folder, checkpoint)


def _manifest(names: Sequence[str], labels: Sequence[str] | None = None) -> pa.Table:
    given = labels or [name[0] for name in names]
    rows = [
        {"sample_id": name, "uri": f"file:///{name}", "label": label, "sha256": name, "status": "ok"}
        for name, label in zip(names, given, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=MANIFEST)


def _cleaned(names: Sequence[str]) -> pa.Table:
    rows = [row | {"label_id": 0, "given_label": row["label"]} for row in _manifest(names).to_pylist()]
    return pa.Table.from_pylist(rows, schema=CLEANED)


def _verdicts() -> list[dict[str, Any]]:
    """Verdicts of six samples, every decision among them."""
    decided = [
        ("a0", "keep", "near_dominant", None, 0.99),
        ("a1", "keep", "near_dominant", None, 0.9),
        ("a2", "review", "uncertain", None, 0.5),
        ("b0", "keep", "near_dominant", None, 0.95),
        ("b1", "relabel", "closer_to_other_label", "a", 0.1),
        ("b2", "drop", "open_set", None, 0.05),
    ]
    return [
        {"sample_id": name, "label": name[0], "decision": d, "reason": r, "new_label": new, "p_clean": p, "rule": "x"}
        for name, d, r, new, p in decided
    ]


def _ids(path: Path, schema: pa.Schema) -> list[str]:
    found: list[str] = read_table(path, schema, columns=["sample_id"])["sample_id"].to_pylist()
    return found


#: Columns added since the first version, which change no result where they are null.
_LATER = (pa.field("split", pa.string()), *(MANIFEST.field(name) for name in PHOTO_COLUMNS))


def _plain(values: pa.Table) -> Results:
    later = {field.name for field in values.schema if field in _LATER and values[field.name].null_count == len(values)}
    return {name: _rounded(values[name].to_pylist()) for name in values.column_names if name not in later}


def _rounded(value: Any) -> Any:
    """Floats to 4 decimals, so that a comparison to 3 has room; containers as JSON has them."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def results_of(stage: str, folder: Path) -> Results:
    """The results of a stage as JSON gives them back."""
    folder.mkdir(parents=True, exist_ok=True)
    plain: Results = json.loads(json.dumps(STAGES[stage](folder)))
    return plain


def differences(golden: Any, now: Any, place: str = "") -> list[str]:
    """Where two results differ: floats by more than 0.0015 (losses and angles by 0.02), all else at all."""
    if isinstance(golden, dict) and isinstance(now, dict) and golden.keys() == now.keys():
        return [line for key in golden for line in differences(golden[key], now[key], f"{place}/{key}")]
    if isinstance(golden, list) and isinstance(now, list) and len(golden) == len(now):
        pairs = enumerate(zip(golden, now, strict=True))
        return [line for number, (a, b) in pairs for line in differences(a, b, f"{place}/{number}")]
    if isinstance(golden, float) and isinstance(now, float):
        tolerance = 0.02 if "loss" in place or "angle" in place else 0.0015
        same = abs(golden - now) <= tolerance
    else:
        same = type(golden) is type(now) and golden == now
    return [] if same else [f"{place or '/'}: {golden!r} -> {now!r}"]


def renew(*, keep_versions: bool) -> list[str]:
    """Write ``golden.json`` anew; the stages whose results changed without a raised version, which are refused."""
    known = read_json(GOLDEN) if GOLDEN.exists() else {}
    golden, refused = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for stage in STAGES:
            entry = {"version": stage_version(stage), "results": results_of(stage, Path(folder) / stage)}
            before = known.get(stage)
            if before and before["version"] == entry["version"]:
                changed = differences(before["results"], entry["results"])
                if changed and not keep_versions:
                    refused.append(stage)
                golden[stage] = entry if changed else before
            else:
                golden[stage] = entry
    if not refused:
        lines = [f"{json.dumps(stage)}: {json.dumps(golden[stage], sort_keys=True)}" for stage in sorted(golden)]
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return refused


def main() -> None:
    """Renew ``golden.json``; results that changed need a raised version first."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--keep-versions", action="store_true", help="Only for other drawn inputs: accept other results as they are."
    )
    refused = renew(keep_versions=parser.parse_args().keep_versions)
    if refused:
        names = ", ".join(f'STAGE_VERSIONS["{stage}"]' for stage in refused)
        sys.exit(f"results changed: raise {names} in purify/pipeline/fingerprint.py first")


if __name__ == "__main__":
    main()
