"""Every reader of the package, with whole inputs of its kind: what a damaged input may do is to be refused by us."""

from __future__ import annotations

import json
import pickle
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pyarrow as pa
import torch
from safetensors.torch import save as save_tensors

from purify.config import IngestConfig
from purify.config_files import config_from_json, load_config
from purify.credentials import without_credentials
from purify.embedding.embedding_files import EmbeddingFiles
from purify.errors import PurifyError
from purify.faces.onnx_session import open_session
from purify.images.decoding import decode_rgb, inspect_image
from purify.images.defects import UnreadableImageError
from purify.ingest.ingest import ingest
from purify.models.backbones import build_backbone
from purify.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from purify.models.dlib_resnet import load_dlib_resnet
from purify.models.heads import SubcenterHead
from purify.models.state_dicts import read_state_dict
from purify.pipeline.closing import closing_lines
from purify.pipeline.request import resumed_request
from purify.pipeline.summary import run_summary
from purify.review.guard import AccessPolicy, RawRequest, refusal
from purify.review.review_imports import read_tool_reviews
from purify.storage.files import read_json
from purify.storage.integrity import LEDGER, find_damage, renew_damaged_entry, verify, watch
from purify.storage.locations import to_location
from purify.storage.message_pack import unpack_pair
from purify.storage.record_index import read_record_index
from purify.storage.run_folder import RunFolder
from purify.storage.run_record import read_evaluation, read_record, read_stage
from purify.storage.tar_index import index_tar
from purify.storage.zip_archive import ZipContainer, index_zip
from purify.tables.class_names import read_class_names
from purify.tables.list_files import read_list
from purify.tables.manifest import load_manifest
from purify.tables.pairs import read_pairs
from purify.tables.reviews import read_reviews
from tests.campaign import seeds
from tests.campaign.mutants import json_mutants, mutants
from tests.onnx_model import write_linear_onnx
from tests.small_run import draw_source, update

Mutate = Callable[[bytes, Random, int], Iterator[bytes]]
_NAMES = set(seeds.IDS)


@dataclass(frozen=True)
class Reader:
    """A reader, the name of its file, and whole inputs of it.

    `weight` is the share of the inputs that it gets: slow ones get fewer.
    """

    name: str
    file: str
    whole: Sequence[bytes]
    read: Callable[[Path], object]
    mutate: Mutate = mutants
    weight: float = 1.0
    #: Whether the whole inputs are read; else they are refused, too.
    taken: bool = True


def try_reader(reader: Reader, folder: Path, rnd: Random, count: int, each: Callable[[bytes], object]) -> Iterator[str]:
    """Give `count` mutants to a reader; yields ``read`` or ``refused`` for each. Other errors are raised.

    `each` is called with every input before it is read.
    """
    per_seed = -(-count // len(reader.whole))
    number = 0
    for whole in reader.whole:
        for mutant in (*([whole] if reader.taken else []), b"", b"\0" * 600, *reader.mutate(whole, rnd, per_seed)):
            number += 1  # another folder each: indexes of archives are kept by path
            path = folder / f"{number}" / reader.file
            path.parent.mkdir(parents=True)
            path.write_bytes(mutant)
            each(mutant)
            try:
                reader.read(path)
            except (PurifyError, UnreadableImageError):
                if mutant is whole:
                    raise
                yield "refused"
            else:
                yield "read"
            path.unlink()


def groups() -> dict[str, Callable[[Path], Iterator[Reader]]]:
    """Makers of readers; each draws its whole inputs in the folder that it is given."""
    return {
        "images": _images,
        "sources": _sources,
        "tables": _tables,
        "weights": _weights,
        "records": _records,
        "texts": _texts,
    }


def _images(_: Path) -> Iterator[Reader]:
    kinds: dict[str, list[bytes]] = {
        "JPEG": [seeds.image("JPEG"), seeds.image("JPEG", progressive=True), seeds.turned_jpeg()],
        "PNG": [seeds.image("PNG"), seeds.deep_png()],
        "other images": [*(seeds.image(kind) for kind in ("GIF", "WEBP", "BMP", "PPM", "JPEG2000", "TIFF", "AVIF"))],
    }

    def read(path: Path) -> None:
        data = path.read_bytes()
        facts = inspect_image(data, min_size=1, max_pixels=1_000_000)
        assert facts.defect is not None or facts.width
        assert decode_rgb(data, 16).shape == (16, 16, 3)

    for kind, whole in kinds.items():
        yield Reader(kind, "image", whole, read, weight=4)


def _sources(folder: Path) -> Iterator[Reader]:
    root = seeds.tree(folder / "root")
    forms = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    tars = [seeds.tar_bytes(root, form) for form in forms]
    config = IngestConfig(workers=1)

    def taken_in(path: Path) -> None:
        ingest(path, [root] if path.suffix in (".parquet", ".csv", ".jsonl") else [], config)

    def records_with(path: Path) -> None:
        record = path.with_name("train.rec")
        record.write_bytes(rec)
        read_record_index(record, path if path.suffix == ".idx" else None)
        ingest(record, [], config)
        record.unlink()

    def zip_members(path: Path) -> None:
        index = index_zip(path)
        with ExitStack() as stack:
            container = ZipContainer(path)
            stack.callback(container.close)
            for name in index.members:
                with suppress(OSError):  # a defect of one image
                    container.read(name)

    rec, table = seeds.rec_bytes(root), {"path": seeds.IDS, "label": [name[0] for name in seeds.IDS]}
    pictures = [(root / name).read_bytes() for name in seeds.IDS]
    rows = [f"{name},{name[0]}\n" for name in seeds.IDS]
    yield Reader("tar (index)", "set.tar", tars, index_tar, weight=4)
    yield Reader("tar (ingest)", "set.tar", tars, taken_in, weight=0.5)
    yield Reader("WebDataset", "shard-000000.tar", [seeds.shard_bytes(root)], taken_in, weight=0.5)
    yield Reader("zip (index)", "set.zip", [seeds.zip_bytes(root)], index_zip, weight=2)
    yield Reader("zip (members)", "set.zip", [seeds.zip_bytes(root)], zip_members, weight=2)
    yield Reader("zip (ingest)", "set.zip", [seeds.zip_bytes(root)], taken_in, weight=0.5)
    yield Reader("rec", "train.rec", [rec], lambda path: read_record_index(path, None), weight=4)
    yield Reader("rec (ingest)", "train.rec", [rec], taken_in, weight=0.5)
    yield Reader("idx of a rec", "train.idx", [seeds.idx_bytes(root)], records_with, weight=0.5)
    yield Reader("lst beside a rec", "train.lst", [seeds.lst_bytes()], records_with, weight=0.5)
    yield Reader("Parquet of paths", "t.parquet", [seeds.parquet_bytes(**table)], load_manifest, weight=2)
    images = seeds.parquet_bytes(image=pictures, label=[name[0] for name in seeds.IDS])
    yield Reader("Parquet of images", "t.parquet", [images], taken_in, weight=0.5)
    yield Reader("CSV", "t.csv", [("path,label\n" + "".join(rows)).encode()], taken_in, weight=0.5)
    lines = "".join(f'{{"path": "{name}", "label": "{name[0]}"}}\n' for name in seeds.IDS)
    yield Reader("JSON lines", "t.jsonl", [lines.encode()], taken_in, _lines_mutants, weight=0.5)
    text = "".join(f"{name[0]}\t{name}\t{_base64(data)}\n" for name, data in zip(seeds.IDS, pictures, strict=True))
    yield Reader("TSV with base64", "t.tsv", [text.encode()], taken_in, weight=0.5)
    yield Reader("Arrow", "data-00000-of-00001.arrow", [seeds.arrow_bytes(root)], _saved(config), weight=0.5)
    yield Reader("MessagePack", "m", [_packed()], lambda path: _value_errors(unpack_pair, path.read_bytes()), weight=2)
    yield Reader("LMDB", "data.mdb", [_database(root)], lambda path: ingest(path.parent, [], config), weight=0.005)


def _tables(_: Path) -> Iterator[Reader]:
    pairs = seeds.parquet_bytes(a=seeds.IDS[:4], b=seeds.IDS[2:], same=[1, 0, 1, 0], fold=[0, 0, 1, 1])
    vectors = seeds.parquet_bytes(path=seeds.IDS, embedding=seeds.vectors())
    lfw = "1\t2\na\t1\t2\nb\t1\t2\na\t1\tb\t2\na\t3\tb\t1\n"
    csv = "a,b,same,fold\n" + "".join(f"{a},{b},{int(a[0] == b[0])},0\n" for a, b in pairwise(seeds.IDS))
    times = pa.array([2**62] * 6, pa.timestamp("us"))
    reviews = seeds.parquet_bytes(sample_id=seeds.IDS, decision=["keep"] * 6, at=times)
    lists = ["\n".join(seeds.IDS), "\n".join(f"{name} {name[0]}" for name in seeds.IDS), "path,label\na/0.png,a\n"]

    def embeddings(path: Path) -> None:
        (ids := path.with_suffix(".txt")).write_text("\n".join(seeds.IDS))
        EmbeddingFiles(path).ids()
        ids.unlink()

    names = _NAMES | {f"{label}/{label}_000{number}.jpg" for label in "ab" for number in (1, 2, 3)}

    def pair_file(path: Path) -> None:
        read_pairs(path, names)

    yield Reader("embeddings, Parquet", "e.parquet", [vectors], embeddings, weight=2)
    yield Reader("embeddings, npy", "e.npy", [seeds.npy_bytes()], embeddings, weight=2)
    yield Reader("embeddings, npz", "e.npz", [seeds.npz_bytes()], embeddings)
    listed = "\n".join(seeds.IDS).encode()
    yield Reader("ids beside an npy", "e.txt", [listed], _ids_of_array)
    yield Reader(
        "ids, CSV", "e.csv", [b"path,x\n" + b"".join(b"%s,1\n" % one for one in listed.split())], _ids_of_array
    )
    yield Reader("ids, JSON", "e.json", [json.dumps(seeds.IDS).encode()], _ids_of_array, json_mutants)
    yield Reader("pairs, Parquet", "p.parquet", [pairs], pair_file, weight=2)
    yield Reader("pairs, LFW", "p.txt", [lfw.encode()], pair_file, weight=2)
    yield Reader("pairs, CSV", "p.csv", [csv.encode()], pair_file, weight=2)
    yield Reader("reviews", "reviews.parquet", [reviews], read_reviews, weight=2)
    yield Reader("clean lists", "l.txt", [text.encode() for text in lists], _clean_list, weight=2)
    classes = b"label_id,label\n0,a\n1,b\n"
    yield Reader("class names", "labels.csv", [classes], lambda path: read_class_names(path.parent))


def _weights(folder: Path) -> Iterator[Reader]:
    state, path = {"a": torch.zeros(2, 2), "b": torch.ones(3)}, folder / "weights.pth"
    torch.save(state, path)
    zipped = path.read_bytes()
    torch.save(state, path, _use_new_zipfile_serialization=False)
    legacy = path.read_bytes()
    yield Reader("pth", "w.pth", [zipped, legacy], read_state_dict)
    yield Reader("pickles", "w.pth", [pickle.dumps({"a": 1})], read_state_dict, taken=False)
    tensors = save_tensors(state, metadata={"format": "pt"})
    yield Reader("safetensors", "w.safetensors", [tensors], read_state_dict, weight=2)
    yield Reader(
        "checkpoint", "model.safetensors", [tensors, _checkpoint(folder)], _load, _head_mutants, 0.5, taken=False
    )
    write_linear_onnx(folder / "m.onnx", torch.ones(3 * 8 * 8, 4).numpy(), size=8)
    yield Reader("ONNX", "m.onnx", [(folder / "m.onnx").read_bytes()], lambda path: open_session(path, threads=1))
    layer = b"\x01\x05con_4\x01\x02\x01\x01\x01\x03\x01\x01\x01\x01" + bytes(64)
    yield Reader("dlib's weights", "net.dat", [layer * 3], load_dlib_resnet, weight=0.05, taken=False)


def _records(folder: Path) -> Iterator[Reader]:
    source = draw_source(folder / "small", people=3, images=4)
    run = update(source.parent)
    info = json.loads(run.info.read_bytes())
    stage = (run.root / "stages" / "apply.json").read_bytes()
    share = {"value": 0.5, "interval": [0.1, 0.9]}
    model = {"auc": 0.9, "auc_interval": [0.8, 1.0], "n_train": 5}
    evaluation = {
        "models": {"raw": model, "purified": model},
        "pairs": {"given": 9, "excluded_identity": 1, "excluded_image": 1, "used": 7},
        "differences": {"purified-raw": {"auc": 0.1, "interval": [0.0, 0.2]}},
        "gap_closed": {"auc": share},
    }
    entry = (run.root / LEDGER / "manifest.parquet.sha256").read_bytes()
    begun = RunFolder(run.root)

    def a_run(path: Path) -> None:
        """The sentences and the figures of a finished run whose ``run.json`` or ``evaluation.json`` this is."""
        (run.root / LEDGER / f"{path.name}.sha256").unlink(missing_ok=True)
        (run.root / path.name).write_bytes(path.read_bytes())
        resumed_request(run.root)
        closing_lines(begun)
        run_summary(begun)

    def a_run_with(path: Path) -> None:
        run.info.write_text(json.dumps({**info, "config": {**info["config"]}}))
        (run.root / LEDGER / "run.json.sha256").unlink(missing_ok=True)
        a_run(path)

    whole = json.dumps(info).encode()
    yield Reader("run.json", "run.json", [whole], read_record, json_mutants)
    yield Reader("run.json, shown", "run.json", [whole], a_run, json_mutants, weight=0.25)
    judged = json.dumps(evaluation).encode()
    yield Reader("evaluation.json", "evaluation.json", [judged], read_evaluation, json_mutants)
    yield Reader("evaluation.json, shown", "evaluation.json", [judged], a_run_with, json_mutants, weight=0.1)
    yield Reader("records of stages", "s.json", [stage], read_stage, json_mutants, weight=2)
    yield Reader("hashes of files", "entry", [entry], _ledger_entry, taken=False)
    yield Reader("JSON", "x.json", [stage], read_json, json_mutants, weight=2)
    studio = [
        {
            "data": {"sample_id": name, "image": name},
            "annotations": [
                {
                    "result": [{"from_name": "decision", "type": "choices", "value": {"choices": ["drop"]}}],
                    "created_at": "2026-01-01T00:00:00Z",
                    "completed_by": {"email": "me"},
                }
            ],
        }
        for name in seeds.IDS[:2]
    ]
    small = [{"sample_id": seeds.IDS[0], "decision": "keep", "annotator": 1, "created_at": "2026-01-01T00:00:00Z"}]
    fiftyone = {"samples": [{"sample_id": name, "decision": {"label": "keep"}, "tags": []} for name in seeds.IDS[:2]]}
    exports = [json.dumps(one).encode() for one in (studio, small, fiftyone)]
    yield Reader("exports of tools", "samples.json", exports, read_tool_reviews, json_mutants, weight=2)


def _texts(_: Path) -> Iterator[Reader]:
    toml = b'seed = 3\n[train]\nepochs = 4\nlearning_rate = 0.1\n[ingest]\nimages = ["a"]\ncolumns = {path = "x"}\n'
    yield Reader("TOML", "c.toml", [toml], lambda path: load_config(path, []))
    sets = [b"seed=3", b"train.epochs=4", b'ingest.images=["a"]', b"ingest.columns={path='x'}", b"train.margin=0.1"]
    yield Reader("--set", "s", sets, lambda path: config_from_json({}, [_text(path)], origin="here"))
    urls = [b"s3://bucket/a/b", b"s3://KEY:se/cret@bucket", b"https://u@h/{000..009}.tar", b"/a/b{0..3}", b"C:\\a\\b"]
    yield Reader("places", "s", urls, _place, weight=2)
    request = b"GET\n/page/\nhost: 127.0.0.1:80\ncookie: a=t; b=c\norigin: http://127.0.0.1:80\n?token=t&a=1"
    yield Reader("requests' heads", "s", [request], _request, weight=4)


def _checkpoint(folder: Path) -> bytes:
    backbone = build_backbone("mobilefacenet", embedding_dim=8, input_size=32)
    head = SubcenterHead(2, 8, subcenters=2)
    save_checkpoint(
        folder, Checkpoint.of(backbone, head, backbone_name="mobilefacenet", input_size=32, labels=("a", "b"), extra={})
    )
    return (folder / "model.safetensors").read_bytes()


def _load(path: Path) -> None:
    load_checkpoint(path.parent).build()


def _head_mutants(data: bytes, rnd: Random, count: int) -> Iterator[bytes]:
    """Most of a file of weights are numbers, of which any will do: its header is changed."""
    size = 8 + int.from_bytes(data[:8], "little")
    for head in mutants(data[:size], rnd, count):
        yield head + data[size:]


def _lines_mutants(data: bytes, rnd: Random, count: int) -> Iterator[bytes]:
    """Lines of JSON of which one is changed."""
    lines = data.splitlines()
    for mutant in json_mutants(lines[0], rnd, count):
        yield b"\n".join([mutant.replace(b"\n", b" "), *lines[1:]])


def _saved(config: IngestConfig) -> Callable[[Path], object]:
    def read(path: Path) -> None:
        state = path.with_name("state.json")
        state.write_text(json.dumps({"_data_files": [{"filename": path.name}]}))
        (info := path.with_name("dataset_info.json")).write_text("{}")
        ingest(path.parent, [], config)
        state.unlink()
        info.unlink()

    return read


def _ids_of_array(path: Path) -> None:
    array = path.with_name("e.npy")
    array.write_bytes(seeds.npy_bytes())
    EmbeddingFiles(array).ids()
    array.unlink()


def _clean_list(path: Path) -> None:
    read_list(path, lambda names: len(_NAMES & set(names)))


def _ledger_entry(path: Path) -> None:
    """An entry that was changed never passes for one that was not."""
    root = path.parent / "root"
    watch(root)
    (root / "file").write_bytes(b"content")
    (root / LEDGER / "file.sha256").write_bytes(path.read_bytes())
    assert find_damage(root / "file") is not None, "a changed entry was taken for a whole one"
    try:
        verify(root / "file")
    except PurifyError:
        renew_damaged_entry(root / "file")


def _place(path: Path) -> None:
    text = _text(path)
    try:
        without_credentials(text)
    except ValueError:
        return
    if "\0" not in text:
        to_location(text)


def _request(path: Path) -> None:
    method, target, *lines = path.read_bytes().split(b"\n")[:-1] or [b"", b""], b""
    del method, target, lines
    parts = path.read_bytes().split(b"\n")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (part.partition(b":") for part in parts[2:])]
    target = parts[1].decode("latin-1") if len(parts) > 1 else ""
    request = RawRequest(parts[0].decode("latin-1"), target, headers, parts[-1].lstrip(b"?"))
    policy = AccessPolicy(frozenset({"127.0.0.1:80"}), "a", "t")
    refusal(policy, request)
    refusal(replace(policy, hosts=frozenset()), request)


def _value_errors(read: Callable[[bytes], object], data: bytes) -> None:
    try:
        read(data)
    except ValueError:
        return


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


def _packed() -> bytes:
    """MessagePack of (bytes, 3)."""
    return b"\x92\xc4\x05hello\x03"


def _database(root: Path) -> bytes:
    lmdb = __import__("lmdb")
    place = root.parent / "database"
    with lmdb.open(str(place), map_size=1 << 20) as database, database.begin(write=True) as transaction:
        for name in seeds.IDS:
            transaction.put(name.encode(), (root / name).read_bytes())
    return (place / "data.mdb").read_bytes()
