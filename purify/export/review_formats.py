"""Formats of review tools: the images as files, and each with its verdict. `purify.review.review_imports` reads back.

Sources: ``fiftyone.types.FiftyOneDataset`` (``metadata.json`` without a version and ``samples.json``, which every
version of FiftyOne imports), https://docs.voxel51.com/user_guide/import_datasets.html; and Label Studio's tasks with
predictions, https://labelstud.io/guide/predictions.html.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pyarrow.compute as pc

from purify.export.export_job import Job
from purify.export.tree_format import write_images
from purify.storage.files import atomic_path, write_json
from purify.tables.schema import Decision

_BATCH = 4096
#: Where Label Studio serves files below its document root.
_LOCAL_FILES = "/data/local-files/?d="
#: Interface of a Label Studio project for the tasks.
_INTERFACE = """\
<View>
  <Header value="$question"/>
  <Image name="image" value="$image"/>
  <Choices name="decision" toName="image" choice="single" required="true" showInLine="true">
    <Choice value="keep" hotkey="k"/>
    <Choice value="drop" hotkey="d"/>
    <Choice value="relabel" hotkey="r"/>
    <Choice value="review" hotkey="s"/>
  </Choices>
  <TextArea name="new_label" toName="image" maxSubmissions="1" editable="true" placeholder="new label, of relabel"/>
</View>
"""


def write_fiftyone(job: Job) -> None:
    """Write ``data/``, ``samples.json`` and ``metadata.json``."""
    paths = write_images(job, "data")
    split = job.selection.rows["split"].null_count == 0

    def sample(row: Mapping[str, Any], path: str) -> dict[str, Any]:
        proposed = row["new_label"] or row["other_label"]
        fields = {
            "filepath": path,
            "tags": [row["split"]] if split else [],
            "ground_truth": {"_cls": "Classification", "label": row["given_label"]},
            "proposed": proposed and {"_cls": "Classification", "label": proposed, "confidence": row["p_other"]},
            "exported_label": row["given_label"],
            "purify_id": row["sample_id"],
        } | {name: row[name] for name in ("p_clean", "decision", "reason")}
        return {name: value for name, value in fields.items() if value is not None}

    _write_rows(job, "samples.json", '{"samples": [', sample, paths, "]}")
    write_json(job.folder.root / "metadata.json", {"media_type": "image"})


def write_label_studio(job: Job) -> None:
    """Write ``images/``, ``tasks.json`` and ``interface.xml``; addresses of images begin below the folder's parent."""
    paths = write_images(job, "images")
    base = job.folder.root.absolute().name

    def task(row: Mapping[str, Any], path: str) -> dict[str, Any]:
        names = ("sample_id", "given_label", "reason", "p_clean", "split")
        about = {name: row[name] for name in names if row[name] is not None}
        image = _LOCAL_FILES + quote(f"{base}/{path}")
        task: dict[str, Any] = {
            "data": {**about, "image": image, "question": _question(row), "verdict": row["decision"]}
        }
        if row["decision"] is not None:
            task["predictions"] = [_prediction(row)]
        return task

    _write_rows(job, "tasks.json", "[", task, paths, "]")
    with atomic_path(job.folder.root / "interface.xml") as temporary:
        temporary.write_text(_INTERFACE, encoding="utf-8")


def _question(row: Mapping[str, Any]) -> str:
    doubt = "" if row["p_clean"] is None else f" (p = {row['p_clean']:.3f})"
    proposed = row["new_label"] or row["other_label"]
    other = f" Or {proposed}?" if proposed else ""
    return f"Is this {row['given_label']}?{doubt}{other}"


def _prediction(row: Mapping[str, Any]) -> dict[str, Any]:
    result = [_result("decision", "choices", {"choices": [row["decision"]]})]
    if row["decision"] == Decision.RELABEL:
        result.append(_result("new_label", "textarea", {"text": [row["new_label"]]}))
    return {"model_version": row["rule"] or "purify", "score": row["p_clean"], "result": result}


def _result(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, "from_name": name, "to_name": "image", "type": kind, "value": value}


def _write_rows(
    job: Job,
    file: str,
    head: str,
    entry: Callable[[Mapping[str, Any], str], dict[str, Any]],
    paths: Mapping[str, list[str]],
    tail: str,
) -> None:
    """Write a JSON file with an entry for every row, one a line."""
    with atomic_path(job.folder.root / file) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(head)
        for number, (row, path) in enumerate(_rows(job, paths)):
            stream.write((",\n" if number else "\n") + json.dumps(entry(row, path), sort_keys=True))
        stream.write(f"\n{tail}\n")


def _rows(job: Job, paths: Mapping[str, list[str]]) -> Iterator[tuple[dict[str, Any], str]]:
    """Each row and its path; a decision concerns the label as given, so that one is always there."""
    for part in job.parts():
        given = pc.coalesce(part.rows["given_label"], part.rows["label"])
        table = part.rows.drop_columns("given_label").append_column("given_label", given)
        rows = (row for batch in table.to_batches(max_chunksize=_BATCH) for row in batch.to_pylist())
        yield from zip(rows, paths[part.name], strict=True)
