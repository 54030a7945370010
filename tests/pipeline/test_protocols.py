"""Protocols from files to figures, on small sets whose answers are known."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

from purify.cli import main
from purify.config import IngestConfig
from purify.config_files import load_config
from purify.errors import InputError
from purify.evaluation.protocols.named import PROTOCOLS, Masks, find_protocol
from purify.ingest.ingest import ingest
from purify.pipeline.protocol_evaluation import evaluate_protocols
from purify.report.protocol_rows import protocol_rows, protocol_section, protocol_text
from purify.storage.run_record import read_protocols
from tests.onnx_model import write_linear_onnx

PEOPLE, IMAGES, SIZE = 20, 4, 16
QUICK = load_config(None, ["evaluate.bootstrap=100"])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``faces/P00/P00_0001.png``: noisy pictures of people who differ in the upper half; a random linear network."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("protocols")
    for person in range(PEOPLE):
        face = rng.uniform(0, 255, (SIZE, SIZE, 3))
        for k in range(IMAGES):
            path = folder / "faces" / f"P{person:02}" / f"P{person:02}_{k + 1:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noisy = np.clip(face + rng.normal(0, 40, face.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(path)
    write_linear_onnx(folder / "model.onnx", rng.normal(size=(3 * SIZE * SIZE, 32)), size=SIZE)
    return folder


def _names() -> list[str]:
    return [f"P{person:02}/P{person:02}_{k + 1:04}.png" for person in range(PEOPLE) for k in range(IMAGES)]


def _pairs() -> list[tuple[str, str, bool]]:
    """Each of ten folds: two same and two different pairs."""
    names, pairs = _names(), []
    for fold in range(10):
        for k in (0, 2):
            first = (2 * fold + (k > 0)) * IMAGES
            pairs.append((names[first], names[first + 1], True))
        for k in (0, 1):
            pairs.append((names[(2 * fold) * IMAGES + k], names[((2 * fold + 5) % PEOPLE) * IMAGES + k], False))
    return pairs


def _write_pairs(path: Path) -> Path:
    lines = ["a,b,same,fold", *(f"{a},{b},{int(same)},{k // 4}" for k, (a, b, same) in enumerate(_pairs()))]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _embeddings(path: Path, names: list[str], vectors: np.ndarray) -> Path:
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.astype(np.float32).ravel()), vectors.shape[1])
    pq.write_table(pa.table({"path": names, "embedding": column}), path)
    return path


def _value(content: dict, protocol: str, figure: str, model: str = "m") -> float:
    return content["protocols"][protocol]["models"][model]["figures"][figure]["value"]


def test_files_and_both_forms_of_bin_give_the_same_number(photos: Path, tmp_path: Path) -> None:
    pairs = _pairs()
    images = [(photos / "faces" / name).read_bytes() for a, b, _ in pairs for name in (a, b)]
    arrays = [np.array(Image.open(photos / "faces" / name)) for a, b, _ in pairs for name in (a, b)]
    same = [same for *_, same in pairs]
    (tmp_path / "bytes.bin").write_bytes(pickle.dumps((images, same), protocol=2))
    (tmp_path / "pixels.bin").write_bytes(pickle.dumps((arrays, np.array(same))))
    places = [_write_pairs(tmp_path / "pairs.csv"), tmp_path / "bytes.bin", tmp_path / "pixels.bin"]
    found = [
        evaluate_protocols(
            {"m": photos / "model.onnx"}, ["pairs"], [place], QUICK, tmp_path / "o.json", images=[photos / "faces"]
        )
        for place in places
    ]
    figures = [content["protocols"]["pairs"]["models"]["m"]["figures"] for content in found]
    for name in ("accuracy", "AUC", "EER", "TAR@FAR=1e-1"):
        assert figures[0][name]["value"] == figures[1][name]["value"] == figures[2][name]["value"]
    assert figures[0]["accuracy"]["value"] > 0.9
    over = [content["protocols"]["pairs"]["models"]["m"]["drawn_over"] for content in found]
    assert over == ["people", "pairs", "pairs"]


def test_masks_cost_accuracy_and_are_refused_on_embeddings(photos: Path, tmp_path: Path) -> None:
    data, names = [_write_pairs(tmp_path / "pairs.csv")], ["pairs", "pairs+mask-second", "pairs+mask-both"]
    roots = [photos / "faces"]
    content = evaluate_protocols({"m": photos / "model.onnx"}, names, data, QUICK, tmp_path / "o.json", images=roots)
    areas = [_value(content, name, "AUC") for name in names]
    assert areas[0] > areas[1]
    again = evaluate_protocols({"m": photos / "model.onnx"}, names, data, QUICK, tmp_path / "o.json", images=roots)
    assert again == content
    given = _embeddings(tmp_path / "e.parquet", _names(), np.eye(len(_names())))
    with pytest.raises(InputError, match="masks can't be drawn on embeddings"):
        evaluate_protocols({"m": given}, names[1:2], data, QUICK, tmp_path / "o.json", images=roots)


def _ijb(folder: Path) -> np.ndarray:
    """IJB-C's metadata for templates of two images each; the vectors of the images, one direction a person."""
    names, rng = _names(), np.random.default_rng(3)
    person = np.repeat(np.arange(PEOPLE), IMAGES)
    template = person * 2 + np.tile([0, 0, 1, 1], PEOPLE)
    meta = folder / "meta"
    meta.mkdir()
    rows = [f"{name} {t} {k}" for k, (name, t) in enumerate(zip(names, template, strict=True))]
    (meta / "ijbc_face_tid_mid.txt").write_text("\n".join(rows))
    pairs = [f"{a} {b} {int(a // 2 == b // 2)}" for a in range(0, 2 * PEOPLE, 2) for b in range(1, 2 * PEOPLE, 2)]
    (meta / "ijbc_template_pair_label.txt").write_text("\n".join(pairs))
    points = "3 4 9 4 6 7 4 10 8 10"
    (meta / "ijbc_name_5pts_score.txt").write_text("\n".join(f"{name} {points} 0.9" for name in names))
    for number, people in (("G1", range(0, 10)), ("G2", range(10, 20))):
        rows = [f"{2 * one},{one},x" for one in people]
        (meta / f"ijbc_1N_gallery_{number}.csv").write_text("\n".join(["TEMPLATE_ID,SUBJECT_ID,FILENAME", *rows]))
    rows = [f"{2 * one + 1},{one},x" for one in range(PEOPLE)]
    (meta / "ijbc_1N_probe_mixed.csv").write_text("\n".join(["TEMPLATE_ID,SUBJECT_ID,FILENAME", *rows]))
    return np.eye(PEOPLE)[person] * 3 + rng.normal(0, 0.01, (len(names), PEOPLE))


def test_ijb_from_its_files(photos: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", _ijb(tmp_path).astype(np.float32))
    names = ["ijb-c", "IJB-C-insightface/N0D1F1", "ijb-c-1n", "ijb-c-1n-insightface"]
    content = evaluate_protocols({"m": tmp_path / "features.npy"}, names, [tmp_path], QUICK, tmp_path / "o.json")
    for name, figure in (
        ("ijb-c", "TAR@FAR=1e-2"),
        (names[1], "TAR@FAR=1e-2"),
        (names[2], "rank-1"),
        (names[3], "rank-1"),
    ):
        assert _value(content, name, figure) == 1
    refused = content["protocols"]["ijb-c"]["models"]["m"]["refused"]
    assert refused["TAR@FAR=1e-6"] == "needs 1,000,000 different pairs, there are 380"
    assert content["protocols"][names[1]]["pooling"] == "N0D1F1"
    assert _value(content, "ijb-c-1n", "TPIR@FPIR=1e-1") == 1
    network = {"m": photos / "model.onnx"}
    roots = [photos / "faces"]
    pixels = evaluate_protocols(
        network, ["ijb-c/N0D0F0", "ijb-c"], [tmp_path], QUICK, tmp_path / "o.json", images=roots
    )
    assert 0 <= _value(pixels, "ijb-c", "TAR@FAR=1e-1") <= 1
    (tmp_path / "meta" / "ijbc_template_pair_label.txt").unlink()
    with pytest.raises(InputError, match=r"ijb-c: needs ijbc_template_pair_label\.txt"):
        evaluate_protocols(network, ["ijb-c"], [tmp_path], QUICK, tmp_path / "o.json", images=roots)


def test_megaface_with_and_without_its_noise_lists(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(6), 5)
    probes = [f"facescrub/P{p}/P{p}_{k}.png" for k, p in enumerate(person)]
    distractors = [f"megaface/1/{k}/{k}.jpg" for k in range(200)]
    vectors = np.eye(16)[person] + rng.normal(0, 0.01, (30, 16))
    vectors[3] = np.eye(16)[15]  # a wrong image of person 0
    others = np.concatenate([np.zeros((200, 8)), rng.normal(size=(200, 8))], axis=1)
    others[7] = np.eye(16)[1]  # a distractor who is person 1
    (tmp_path / "facescrub_lst").write_text("\n".join(probes))
    (tmp_path / "megaface_lst").write_text("\n".join(distractors))
    (tmp_path / "facescrub_noises.txt").write_text("# one\nP0_3.png\n")
    (tmp_path / "megaface_noises.txt").write_text("1/7/7.jpg\n")
    given = _embeddings(tmp_path / "e.parquet", probes + distractors, np.concatenate([vectors, others]))
    names = ["megaface", "megaface-refined", "megaface-refined-insightface"]
    content = evaluate_protocols({"m": given}, names, [tmp_path], QUICK, tmp_path / "o.json")
    ranks = [_value(content, name, "rank-1") for name in names]
    assert ranks[0] < 0.9
    assert ranks[1:] == [1, 1]
    counts = content["protocols"]["megaface-refined"]["models"]["m"]["counts"]
    assert (counts["probes"], counts["distractors"], counts["noisy probes"]) == (29, 199, 1)
    assert "TAR@FAR=1e-6" in content["protocols"]["megaface"]["models"]["m"]["refused"]


def test_trillion_pairs_and_masked_people_from_tables(photos: Path, tmp_path: Path) -> None:
    names = _names()
    rows = [f"{name},{name[:3]}" for name in names] + ["d/1.png,", "d/2.png,"]
    (tmp_path / "elfw.csv").write_text("\n".join(["path,label", *rows]))
    rng = np.random.default_rng(1)
    vectors = np.r_[np.eye(24)[np.repeat(np.arange(PEOPLE), IMAGES)], rng.normal(size=(2, 24))]
    given = _embeddings(tmp_path / "e.parquet", [*names, "d/1.png", "d/2.png"], vectors)
    content = evaluate_protocols({"m": given}, ["trillion-pairs"], [tmp_path], QUICK, tmp_path / "o.json")
    model = content["protocols"]["trillion-pairs"]["models"]["m"]
    assert model["counts"] == {"faces": 80, "distractors": 2, "genuine": 120, "impostors": 3040 + 160}
    assert "needs 1,000,000,000 different pairs" in model["refused"]["TPR@FPR=1e-9"]
    assert "needs 1,000 searches" in model["refused"]["identification TPR@FPR=1e-3"]
    (tmp_path / "celeba.csv").write_text("\n".join(["path,label", *(f"{name},{name[:3]}" for name in names)]))
    masked = evaluate_protocols(
        {"m": photos / "model.onnx"},
        ["CelebA+masks"],
        [tmp_path],
        QUICK,
        tmp_path / "o.json",
        images=[photos / "faces"],
    )
    areas = [_value(masked, "CelebA+masks", f"AUC, {masks} masks") for masks in range(3)]
    assert areas[0] > areas[1]
    assert _value(masked, "CelebA+masks", "rank-1") > _value(masked, "CelebA+masks", "rank-1, masked gallery") - 0.1
    assert "91.78" in masked["protocols"]["CelebA+masks"]["left_open"]


def test_better_is_said_where_the_paired_interval_says_so(tmp_path: Path) -> None:
    rng, names, person = np.random.default_rng(0), _names(), np.repeat(np.arange(PEOPLE), IMAGES)
    rows = [
        (names[IMAGES * p], names[IMAGES * q + 1], int(p == q), (p + q) % 10)
        for p in range(PEOPLE)
        for q in range(PEOPLE)
    ]
    (tmp_path / "pairs.csv").write_text("a,b,same,fold\n" + "".join("{},{},{},{}\n".format(*row) for row in rows))
    faces = {"raw": rng.normal(size=(len(names), PEOPLE)), "purified": np.eye(PEOPLE)[person], "twin": None}
    faces["twin"] = faces["raw"]
    models = {name: _embeddings(tmp_path / f"{name}.parquet", names, made) for name, made in faces.items()}
    content = evaluate_protocols(models, ["pairs"], [tmp_path / "pairs.csv"], QUICK, tmp_path / "o.json")
    found = {(two["this"], two["that"]): two["figures"] for two in content["protocols"]["pairs"]["differences"]}
    assert set(found) == {("purified", "raw"), ("twin", "raw")}
    assert found["purified", "raw"]["AUC"]["finding"] == found["purified", "raw"]["EER"]["finding"] == "better"
    assert found["purified", "raw"]["EER"]["value"] < 0
    assert all(figure["value"] == 0 == sum(map(abs, figure["interval"])) for figure in found["twin", "raw"].values())
    assert {figure["finding"] for figure in found["twin", "raw"].values()} == {"no clear difference"}
    assert "pairs: purified against raw: better in " in protocol_text(content)


def test_given_embeddings_need_no_images_but_names(tmp_path: Path) -> None:
    names = _names()
    given = _embeddings(tmp_path / "e.parquet", names[1:], np.eye(PEOPLE)[np.repeat(np.arange(PEOPLE), IMAGES)][1:])
    data, out = [_write_pairs(tmp_path / "pairs.csv")], tmp_path / "o.json"
    content = evaluate_protocols({"m": given}, ["pairs"], data, QUICK, out)
    assert content["protocols"]["pairs"]["read"]["missing"] == sum(names[0] in (a, b) for a, b, _ in _pairs()) > 0
    assert _value(content, "pairs", "accuracy") == 1
    np.save(tmp_path / "rows.npy", np.ones((len(names), 4), np.float32))
    with pytest.raises(InputError, match="can't be matched with named pairs"):
        evaluate_protocols({"m": given, "n": tmp_path / "rows.npy"}, ["pairs"], data, QUICK, out)


@pytest.mark.parametrize(
    ("file", "row", "text", "message"),
    [
        ("ijbc_template_pair_label.txt", 3, "0 1", "Expected 3 columns, got 2: 0 1"),
        ("ijbc_template_pair_label.txt", 3, "0 999 1", "template 999 has no image"),
        ("ijbc_face_tid_mid.txt", 2, "a/b.png 5 ", "ijbc_face_tid_mid.txt: row 3 lacks a number"),
        ("ijbc_name_5pts_score.txt", 1, "x nan 4 9 4 6 7 4 10 8 10 0.9", "row 2: a point or the score is missing"),
        ("ijbc_1N_gallery_G1.csv", 2, "2,,x", "ijbc_1N_gallery_G1.csv: row 2 lacks a number"),
        ("ijbc_1N_probe_mixed.csv", 0, "1,0,x", "row 1 is no header"),
    ],
)
def test_broken_lines_of_ijb_are_named(tmp_path: Path, file: str, row: int, text: str, message: str) -> None:
    np.save(tmp_path / "features.npy", _ijb(tmp_path).astype(np.float32))
    path = tmp_path / "meta" / file
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:row], text, *lines[row + 1 :]]))
    protocol = "ijb-c-1n" if "1N" in file else "ijb-c"
    with pytest.raises(InputError, match=re.escape(message)):
        evaluate_protocols({"m": tmp_path / "features.npy"}, [protocol], [tmp_path], QUICK, tmp_path / "o.json")


@pytest.mark.parametrize(
    ("line", "message"), [("a.png", "no folder tells whose image it is"), ("P/0.png", "listed twice")]
)
def test_probes_without_a_person_or_listed_twice_are_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "facescrub_lst").write_text(f"P/0.png\nP/1.png\n{line}\n")
    (tmp_path / "megaface_lst").write_text("m/1.png\n")
    given = _embeddings(tmp_path / "e.parquet", ["P/0.png", "P/1.png", "m/1.png", "a.png"], np.eye(4))
    with pytest.raises(InputError, match=message):
        evaluate_protocols({"m": given}, ["megaface"], [tmp_path], QUICK, tmp_path / "o.json")


def test_mlfw_leaves_people_of_the_training_set_out(photos: Path, tmp_path: Path) -> None:
    names = _names()
    files = {name: name.split("/")[1].replace(".png", "_0001.png") for name in names}
    lines = [f"{files[a]} {files[b]} {int(same)}" for a, b, same in _pairs()]
    (tmp_path / "mlfw_pairs.txt").write_text("\n".join(lines))
    aligned = tmp_path / "aligned"
    aligned.mkdir()
    for name, file in files.items():
        (aligned / file).write_bytes((photos / "faces" / name).read_bytes())
    train = tmp_path / "train.csv"
    train.write_text("path,label\nP00/P00_0001.png,P00\nP00/P00_0002.png,P00\n")
    runner = CliRunner()
    made = runner.invoke(
        main, ["ingest", str(train), "--images", str(photos / "faces"), "--out", str(tmp_path / "run")]
    )
    assert made.exit_code == 0, made.output
    command = ["evaluate", str(tmp_path / "run" / "manifest.parquet"), "--protocol", "mlfw", "--data", str(tmp_path)]
    command += ["--images", str(aligned), "--model", f"m={photos / 'model.onnx'}", "--out", str(tmp_path / "out")]
    answer = runner.invoke(main, [*command, "--set", "evaluate.bootstrap=100", "--json"])
    assert answer.exit_code == 0, answer.output
    read = json.loads(answer.output)["protocols"]["mlfw"]["read"]
    assert read["given"] == 40
    assert read["excluded_identity"] == sum("P00" in a + b for a, b, _ in _pairs()) > 0
    assert read["used"] == 40 - read["excluded_identity"]


def _trained_on(root: Path, names: list[str], labels: list[str]) -> pa.Table:
    table = root / "trained.csv"
    table.write_text("".join(["path,label\n", *(f"{n},{label}\n" for n, label in zip(names, labels, strict=True))]))
    return ingest(table, [root / "faces"], IngestConfig())


def test_images_of_a_bin_that_were_trained_on_are_known_by_bytes_and_by_pixels(photos: Path, tmp_path: Path) -> None:
    pairs, manifest = _pairs(), _trained_on(photos, _names()[:1], ["a name of its own"])
    arrays = [np.array(Image.open(photos / "faces" / name)) for a, b, _ in pairs for name in (a, b)]
    forms = {
        "bytes": [(photos / "faces" / name).read_bytes() for a, b, _ in pairs for name in (a, b)],
        "pixels": [np.asfortranarray(array) for array in arrays],
    }
    for by, images in forms.items():
        path = tmp_path / f"{by}.bin"
        path.write_bytes(pickle.dumps((images, [same for *_, same in pairs])))
        network, roots = {"m": photos / "model.onnx"}, [photos / "faces"]
        content = evaluate_protocols(
            network, ["lfw"], [path], QUICK, tmp_path / "o.json", images=roots, manifest=manifest
        )
        read = content["protocols"]["lfw"]["read"]
        shown = sum(_names()[0] in (a, b) for a, b, _ in pairs)
        assert read["excluded_by"] == {by: shown}
        assert read["used"] == len(pairs) - shown
        assert f"{shown} with a copy of a training image, by its {by}" in protocol_text(content)


def test_people_who_were_trained_on_are_left_out_of_tables_and_lists(photos: Path, tmp_path: Path) -> None:
    names = _names()
    manifest = _trained_on(photos, [names[0], names[4]], ["P00", "somebody"])  # P00 by the label, P01 by the image
    vectors = np.eye(24)[np.repeat(np.arange(PEOPLE), IMAGES)]
    rest = [f"d/{k}/{k}.png" for k in range(3)]
    given = _embeddings(tmp_path / "e.parquet", names + rest, np.r_[vectors, np.eye(24)[20:23]])
    rows = ["path,label", *(f"{name},{name[:3]}" for name in names), *(f"{name}," for name in rest)]
    (tmp_path / "elfw.csv").write_text("\n".join(rows))
    (tmp_path / "people.csv").write_text("\n".join(rows[: 1 + len(names)]))
    (tmp_path / "facescrub_lst").write_text("\n".join(names))
    (tmp_path / "megaface_lst").write_text("\n".join(rest))

    def counts(protocol: str, model: Path, data: Path) -> dict[str, int]:
        roots = [photos / "faces"] if model.suffix == ".onnx" else []
        out = tmp_path / "o.json"
        content = evaluate_protocols({"m": model}, [protocol], [data], QUICK, out, images=roots, manifest=manifest)
        return content["protocols"][protocol]["models"]["m"]["counts"]

    pairs = counts("trillion-pairs", given, tmp_path)
    assert (pairs["faces"], pairs["faces_of_people_trained_on_left_out"]) == (72, 8)
    masked = counts("people+masks", photos / "model.onnx", tmp_path / "people.csv")
    assert (masked["images"], masked["images_of_people_trained_on_left_out"]) == (72, 8)
    searched = counts("megaface", given, tmp_path)
    assert (searched["probes"], searched["probes_of_people_trained_on_left_out"]) == (72, 8)
    assert searched["distractors_trained_on_left_out"] == 0


def test_the_table_has_the_models_as_columns_and_says_what_is_wrong(photos: Path, tmp_path: Path) -> None:
    data = [_write_pairs(tmp_path / "lfw.csv")]
    models = {"purified": photos / "model.onnx", "raw": photos / "model.onnx"}
    command = ["evaluate", "--protocol", "lfw", "--protocol", "lfw-insightface", "--data", str(data[0])]
    command += [part for name, place in models.items() for part in ("--model", f"{name}={place}")]
    command += ["--images", str(photos / "faces"), "--out", str(tmp_path / "out"), "--set", "evaluate.bootstrap=100"]
    answer = CliRunner().invoke(main, command)
    assert answer.exit_code == 0, answer.output
    head, first, *_ = [line for line in answer.output.splitlines() if line.startswith(("protocol", "lfw"))]
    assert head.split() == ["protocol", "figure,", "%", "raw", "purified"]
    assert first.split()[:2] == ["lfw", "accuracy"]
    assert "VAL@FAR=1e-3" in answer.output
    assert "the file has 40 pairs; the published set has 6,000" in answer.output
    assert "TAR@FAR=1e-3 refused: needs 1,000 different pairs, there are 20" in answer.output
    content = read_protocols(tmp_path / "out" / "protocols.json")
    assert protocol_text(content) in answer.output
    section = protocol_section(content)
    assert section is not None
    assert section["rows"] == protocol_rows(content)


def test_a_bin_with_a_trap_is_refused_with_its_name(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return Path.touch, (tmp_path / "ran",)

    (tmp_path / "lfw.bin").write_bytes(pickle.dumps(([Trap(), b""], [True])))
    np.save(tmp_path / "e.npy", np.eye(2, dtype=np.float32))
    command = ["evaluate", "--protocol", "lfw", "--data", str(tmp_path), "--model", f"m={tmp_path / 'e.npy'}"]
    answer = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "out")])
    assert answer.exit_code == 2
    assert "lfw.bin: a pickle of" in answer.output
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lwf", "did you mean 'lfw'"),
        ("megaface-insightface", "don't deviate"),
        ("lfw/N1D1F1", "no templates"),
        ("ijb-c+mask-both", "pairs"),
        ("lfw+mask-gallery", "mask-second"),
    ],
)
def test_unknown_names_say_what_there_is(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_protocol(name)


def test_every_protocol_says_which_number_it_gives() -> None:
    for name, protocol in PROTOCOLS.items():
        assert find_protocol(name.upper()).family is protocol.family
        assert protocol.published
    assert find_protocol("LFW+mask-both").masks is Masks.BOTH
