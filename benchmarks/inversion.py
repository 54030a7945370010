"""Faces from a network, judged by itself and by a third party: ``python -m benchmarks.inversion --help``.

After ArcFace (TPAMI), section 4.5: closed set (classes of the network), open set (embeddings of people it has not
seen), cosines to the target in the same network, verification among the generated images, the distance of the
generated set to the real one, and the ablation of the batch-norm prior. The third party is dlib's network; the ceiling
of its figures are real crops at the network's resolution.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

# Before torch loads: spinning OpenMP threads slow everything else down.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import click
import numpy as np
import pyarrow as pa

from benchmarks.inversion_data import People, Pixels, ThirdParty, read_crops
from benchmarks.inversion_figures import Matrix, kernel_distance, likeness, pair_figures
from benchmarks.recipes import FACES
from purify.config import PurifyConfig
from purify.config_files import load_config
from purify.embedding.backbone import Extractor
from purify.errors import PurifyError
from purify.inversion.targets import TargetSpace
from purify.models.checkpoint import load_checkpoint
from purify.pipeline.inversion_stage import InversionRequest, invert
from purify.progress import ProgressBoard, progress_board
from purify.report.reconstructions import face_of, grid_file
from purify.storage.files import atomic_path, write_json

_SHOWN = 8
_ROWS = {"real": "real crops (ceiling)", "prior": "generated", "no_prior": "generated, no prior"}


@dataclass(frozen=True)
class Bench:
    """A network, the people, and where results go."""

    network: Path
    people: People
    tars: Sequence[Path]
    config: PurifyConfig
    out: Path
    board: ProgressBoard

    @cached_property
    def third(self) -> ThirdParty:
        """dlib's network."""
        return ThirdParty()

    @cached_property
    def space(self) -> TargetSpace:
        """The network's classes."""
        return TargetSpace(load_checkpoint(self.network))

    @cached_property
    def extractor(self) -> Extractor:
        """The network as `purify embed` uses it."""
        return Extractor(self.space.checkpoint, precision="float32", flip=True)

    def generate(self, name: str, space: TargetSpace, labels: Sequence[str], *, prior: bool) -> tuple[pa.Table, Pixels]:
        """Invert labels (or, in a space of embeddings, all of them); the table and the faces ``[N, 3, S, S]``."""
        config = self.config if prior else _without_prior(self.config)
        targets = space.embeddings() if space.vectors else space.labels(labels, each_subcenter=False)
        folder = self.out / name
        request = InversionRequest(self.network, space, targets)
        table = invert(request, folder, config, progress=self.board.stage(name))
        files = [(folder / path).read_bytes() for path in table["path"].to_pylist()]
        return table, np.stack([face_of(file) for file in files])


def _without_prior(config: PurifyConfig) -> PurifyConfig:
    return config.model_copy(update={"invert": config.invert.model_copy(update={"batchnorm": 0.0})})


def closed_set(bench: Bench, classes: int) -> dict[str, Any]:
    """Classes of the network, with the prior and without."""
    chosen = bench.people.choose(bench.space.checkpoint.labels, classes, faces=1, seed=bench.config.seed)
    real = read_crops(bench.tars, [faces[0] for faces in chosen.values()], bench.space.checkpoint.input_size)
    reference, right = bench.people.reference(chosen), np.arange(len(chosen))
    seen = {"real": bench.third(real)}
    figures: dict[str, Any] = {"real": _third_party(bench, seen["real"], reference, right)}
    pictures = {"real": real}
    for name in ("prior", "no_prior"):
        table, faces = bench.generate(f"closed-{name}", bench.space, list(chosen), prior=name == "prior")
        seen[name], pictures[name] = bench.third(faces), faces
        figures[name] = {
            **_same_network(table),
            "judged_right": float(np.mean(np.array(table["label"]) == np.array(table["judged_label"]))),
            **_third_party(bench, seen[name], reference, right),
            "kid": kernel_distance(seen[name], seen["real"]),
        }
    half = len(real) // 2
    figures["real"]["kid"] = kernel_distance(seen["real"][:half], seen["real"][half:])
    _write_picture(bench.out / "closed.png", pictures)
    return figures


def open_set(bench: Bench, count: int) -> dict[str, Any]:
    """Embeddings of people whom the network has not seen, two images each."""
    unseen = [name for name in bench.people.faces if name not in set(bench.space.checkpoint.labels)]
    chosen = bench.people.choose(unseen, count, faces=2, seed=bench.config.seed)
    paths = [path for faces in chosen.values() for path in faces]
    real = read_crops(bench.tars, paths, bench.space.checkpoint.input_size)
    given, right = bench.extractor(real), np.repeat(np.arange(count), 2)
    space = TargetSpace(bench.space.checkpoint, dict(zip(paths, given, strict=True)))
    table, faces = bench.generate("open", space, (), prior=True)
    reference, seen = bench.people.reference(chosen), {"real": bench.third(real), "prior": bench.third(faces)}
    own = {"real": given, "prior": bench.extractor(faces)}
    figures = {
        name: {
            **_third_party(bench, seen[name], reference, right),
            "pairs_same_network": pair_figures(own[name], right, seed=bench.config.seed),
            "pairs_third_party": pair_figures(seen[name] - bench.people.center, right, seed=bench.config.seed),
        }
        for name in seen
    }
    nearest = (own["prior"] @ given.T).argmax(axis=1) == np.arange(len(given))
    figures["prior"] |= {**_same_network(table), "judged_right": float(nearest.mean())}
    figures["prior"]["kid"] = kernel_distance(seen["prior"], seen["real"])
    figures["real"]["kid"] = kernel_distance(seen["real"][::2], seen["real"][1::2])
    _write_picture(bench.out / "open.png", {"real": real, "prior": faces})
    return figures


def _same_network(table: pa.Table) -> dict[str, float]:
    cosine = table["cosine"].to_numpy()
    prior = float(np.mean(table["batchnorm_loss"].to_numpy()))
    return {"cosine": float(cosine.mean()), "least_cosine": float(cosine.min()), "batchnorm_loss": prior}


def _third_party(bench: Bench, seen: Matrix, reference: Matrix, right: np.ndarray) -> dict[str, Any]:
    """dlib's figures, centered on real faces and on the set's own mean, which takes out what all images share."""
    return {
        "dlib": likeness(seen, reference, right, center=bench.people.center),
        "dlib_own_center": likeness(seen, reference, right, center=seen.mean(axis=0)),
    }


def _write_picture(path: Path, pictures: Mapping[str, Pixels]) -> None:
    """The first faces of each kind, a row each."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(
            grid_file([face for faces in pictures.values() for face in faces[:_SHOWN]], watermark=True)
        )


def markdown(answer: Mapping[str, Any]) -> str:
    """The table of all figures."""
    head = ["set", "images", "cosine", "judged right", "statistics", "dlib right / wrong", "dlib AUC", "own center"]
    head += ["rank 1", "KID x 1000 (dlib)", "pairs: network", "pairs: dlib"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for part in ("closed", "open"):
        for name, row in answer.get(part, {}).items():
            lines.append(f"| {part} | {_ROWS[name]} | {' | '.join(_cells(row))} |")
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any]) -> list[str]:
    def number(value: float | None, digits: int = 3) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    dlib, own = row["dlib"], row["dlib_own_center"]
    pairs = [row.get(name) for name in ("pairs_same_network", "pairs_third_party")]
    return [
        number(row.get("cosine")),
        number(row.get("judged_right")),
        number(row.get("batchnorm_loss"), 1),
        f"{dlib['right']:.3f} / {dlib['wrong']:.3f}",
        number(dlib["auc"]),
        number(own["auc"]),
        number(dlib["rank_1"]),
        number(row["kid"] * 1000, 1),
        *("-" if pair is None else f"{pair['accuracy']:.3f}" for pair in pairs),
    ]


@click.command()
@click.argument("checkpoint", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--faces", type=click.Path(exists=True, path_type=Path), default=FACES, help="Folder of the real faces.")
@click.option("--classes", default=64, show_default=True, help="Classes to invert.")
@click.option("--unseen", default=32, show_default=True, help="People outside the network, two images each; 0: none.")
@click.option("--config", "config_file", type=click.Path(exists=True, path_type=Path), help="Recipe in TOML.")
@click.option("--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the results.")
def main(
    checkpoint: Path,
    faces: Path,
    classes: int,
    unseen: int,
    config_file: Path | None,
    overrides: tuple[str, ...],
    out: Path,
) -> None:
    """Invert CHECKPOINT, and write inversion.json, inversion.md, closed.png and open.png to OUT.

    The pictures show real faces beside generated ones: publish none of them. A finished part is not repeated.
    """
    try:
        config = load_config(config_file, overrides)
        people = People.read(faces / "dlib_embeddings.parquet")
        with progress_board() as board:
            bench = Bench(checkpoint, people, sorted(faces.glob("*112.tar")), config, out, board)
            answer: dict[str, Any] = {"recipe": config.invert.recipe(), "seed": config.seed}
            answer["closed"] = closed_set(bench, classes)
            if unseen:
                answer["open"] = open_set(bench, unseen)
    except PurifyError as error:
        raise click.ClickException(str(error)) from error
    write_json(out / "inversion.json", answer)
    with atomic_path(out / "inversion.md") as temporary:
        temporary.write_text(markdown(answer), encoding="utf-8")
    click.echo(markdown(answer))


if __name__ == "__main__":
    main()
