"""Faces from a network: files, resumed work, and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from purify.cli import main
from purify.config import PurifyConfig
from purify.config_files import load_config
from purify.embedding.backbone import Extractor
from purify.errors import InputError
from purify.inversion.targets import Target, TargetSpace, plan_batches
from purify.models.backbones import build_backbone
from purify.models.checkpoint import save_checkpoint
from purify.pipeline.inversion_stage import invert, label_targets
from purify.report.reconstructions import NOTICE, face_of
from tests.inversion.conftest import CLASSES, DIM, SIDE, make_checkpoint

QUICK = ("steps=6", "octaves=2", "least_batch=4", "jitter=1", "batch_size=6", 'precision="float32"')
SETTINGS = [f"invert.{setting}" for setting in QUICK]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("network") / "checkpoint"
    save_checkpoint(folder, make_checkpoint())
    return folder


def _purify(*words: str | Path) -> Result:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return CliRunner().invoke(main, [*map(str, words), *settings])


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_classes_and_subcenters_become_files(network: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces"
    words = ("--label", "person 3", "--subcenters", "person 5", "--label", "person 0", "--out", out, "--json")
    result = _purify("invert", network, *words)
    assert result.exit_code == 0, result.output
    table = pq.read_table(out / "inversions.parquet")
    names = ["person 3", "person 0", "person 5 #0", "person 5 #1", "person 5 #2"]
    assert table["target"].to_pylist() == names
    assert table["kind"].to_pylist() == ["class"] * 2 + ["subcenter"] * 3
    assert table["subcenter"].to_pylist()[2:] == [0, 1, 2]
    assert set(table["judged_label"].to_pylist()) <= {f"person {k}" for k in range(CLASSES)}
    assert (np.abs(table["cosine"].to_numpy()) <= 1).all()
    answer = json.loads(result.stdout)
    assert answer["images"] == 5
    assert answer["mean_cosine"] == pytest.approx(table["cosine"].to_numpy().mean(), abs=1e-6)
    assert sorted(_bytes(out)) == ["grid.png", *(f"images/{k:06d}.png" for k in range(5)), "inversions.parquet"]


def test_a_file_says_what_it_is_and_its_face_is_whole(network: Path, tmp_path: Path) -> None:
    with_mark, without = tmp_path / "a", tmp_path / "b"
    assert _purify("invert", network, "--label", "person 1", "--out", with_mark).exit_code == 0
    assert _purify("invert", network, "--label", "person 1", "--no-watermark", "--out", without).exit_code == 0
    marked, plain = (Image.open(folder / "images" / "000000.png") for folder in (with_mark, without))
    assert plain.size == (SIDE, SIDE)
    assert marked.size[1] > SIDE
    band = np.asarray(marked)[SIDE:]
    assert len(np.unique(band.reshape(-1, 3), axis=0)) == 2  # letters on a ground
    faces = [face_of((folder / "images" / "000000.png").read_bytes()) for folder in (with_mark, without)]
    assert np.array_equal(*faces)
    for picture in (marked, plain):
        assert picture.info["Description"] == NOTICE
        assert picture.info["Title"] == "person 1"
        assert "sha256" in picture.info["Source"]
    grid = Image.open(with_mark / "grid.png")
    assert grid.info["Description"] == NOTICE


def test_the_cosine_is_that_of_the_file(network: Path, tmp_path: Path) -> None:
    config = load_config(None, SETTINGS)
    table = invert(label_targets(network, ["person 2"], ["person 4"]), tmp_path, config)
    checkpoint = make_checkpoint()
    faces = np.stack([face_of((tmp_path / path).read_bytes()) for path in table["path"].to_pylist()])
    vectors = Extractor(checkpoint, precision="float32")(faces)
    centers = torch.nn.functional.normalize(checkpoint.head_weight, dim=2).numpy()
    assert table["cosine"][0].as_py() == pytest.approx((centers[2] @ vectors[0]).max(), abs=1e-5)
    assert [table["cosine"][1 + k].as_py() for k in range(3)] == pytest.approx(
        [float(centers[4, k] @ vectors[1 + k]) for k in range(3)], abs=1e-5
    )


def _embeddings(folder: Path, names: Sequence[str], dim: int) -> Path:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(names), dim)).astype(np.float32)
    path = folder / "embeddings.parquet"
    pq.write_table(pa.table({"path": list(names), "embedding": list(vectors)}), path)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_embeddings_of_an_insightface_network(suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = build_backbone("iresnet18", embedding_dim=DIM, input_size=SIDE).state_dict()
    weights = tmp_path / f"backbone{suffix}"
    if suffix == ".pth":
        torch.save(state, weights)
    else:
        from safetensors.torch import save_file

        save_file(state, weights)
    given = _embeddings(tmp_path, ["x", "y", "z"], DIM)
    out = tmp_path / "out"
    words = ("--embeddings", given, "--ids", "z", "--ids", "x", "--out", out, "--set", "invert.steps=2")
    result = _purify("invert", weights, *words)
    assert result.exit_code == 0, result.output
    table = pq.read_table(out / "inversions.parquet")
    assert table["target"].to_pylist() == ["z", "x"]
    assert table["label"].null_count == table["judged_label"].null_count == 2
    labels = _purify("invert", weights, "--label", "anybody", "--out", tmp_path / "labels")
    assert labels.exit_code != 0
    assert "no labels; give --embeddings" in labels.output


def test_what_is_refused(network: Path, tmp_path: Path) -> None:
    given = _embeddings(tmp_path, ["x"], DIM + 1)
    for words, said in {
        (): "give either --label or --subcenters, or --embeddings",
        ("--label", "person 33"): "did you mean 'person 3'",
        ("--ids", "x", "--label", "person 3"): "--ids are those of --embeddings",
        ("--label", "person 3", "--embeddings", str(given)): "give either",
        ("--embeddings", str(given)): f"length {DIM + 1}",
        ("--embeddings", str(given), "--ids", "y"): "no embedding for 1 of 1",
    }.items():
        result = _purify("invert", network, *words, "--out", tmp_path / "refused")
        assert result.exit_code != 0
        assert said in " ".join(result.output.split()), result.output
    assert not (tmp_path / "refused").exists()


def test_a_finished_request_is_not_repeated_and_another_not_mixed_in(network: Path, tmp_path: Path) -> None:
    config = load_config(None, SETTINGS)
    invert(label_targets(network, ["person 2"]), tmp_path, config)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    invert(label_targets(network, ["person 2"]), tmp_path, config)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times
    with pytest.raises(InputError, match="another folder"):
        invert(label_targets(network, ["person 3"]), tmp_path, config)
    before = _bytes(tmp_path)
    (tmp_path / "images" / "000000.png").unlink()
    invert(label_targets(network, ["person 2"]), tmp_path, config)
    assert _bytes(tmp_path) == before


_KILLED = """
import sys
from pathlib import Path
import torch
from purify.config_files import load_config
from purify.pipeline.inversion_stage import invert, label_targets

torch.set_num_threads(1)
settings, network, out = sys.argv[3:], Path(sys.argv[1]), Path(sys.argv[2])
labels = [f"person {k}" for k in range(8)]
request = label_targets(network, labels)
invert(request, out, load_config(None, settings), progress=lambda *told: print(*told, flush=True))
"""


@pytest.mark.slow
def test_a_killed_inversion_resumes_to_the_same_bytes(network: Path, tmp_path: Path) -> None:
    settings = [*SETTINGS, "invert.steps=60", "invert.checkpoint_seconds=0"]

    def start(out: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", _KILLED, str(network), str(out), *settings]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert start(whole).wait() == 0
    for lines in (2, 5):
        process = start(killed)
        assert process.stdout is not None
        for _ in range(lines):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert list(killed.glob("work-*/*.safetensors"))
        assert not (killed / "inversions.parquet").exists()
    assert start(killed).wait() == 0
    assert _bytes(killed) == _bytes(whole)


def test_a_damaged_state_is_said_and_not_used(network: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    config = load_config(None, SETTINGS)
    request = label_targets(network, ["person 2"])
    invert(request, tmp_path / "whole", config)
    work = tmp_path / "out" / f"work-{request.key(config)[:16]}"
    work.mkdir(parents=True)
    (work / ".purify-work").touch()
    (work / "000000.safetensors").write_bytes(b"not tensors")
    invert(request, tmp_path / "out", config)
    assert any("begins anew" in str(warning.message) for warning in recwarn)
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "whole")


def test_batches_hold_different_people_and_small_ones_get_company() -> None:
    space = TargetSpace(make_checkpoint())
    targets = space.labels(["person 1", "person 2", "person 3"], each_subcenter=True)
    config = PurifyConfig.model_validate({"invert": {"batch_size": 3, "least_batch": 3}}).invert
    batches = plan_batches(targets, space, config, seed=0)
    assert [[target.label for target in batch.targets] for batch in batches] == [
        ["person 1", "person 2", "person 3"]
    ] * 3
    config = config.model_copy(update={"batch_size": 8, "least_batch": 6})
    (alone,) = plan_batches([Target("class", "person 1")], space, config, seed=0)
    assert len({target.label for target in alone.targets}) == 6
    assert [target.kept for target in alone.targets] == [True] + [False] * 5
    assert plan_batches([Target("class", "person 1")], space, config, seed=0) == [alone]
    sizes = [len(batch.targets) for batch in plan_batches(targets, space, config, seed=0)]
    assert sorted(sizes) == [6, 6]  # 5 and 4 of the 9, each with company
