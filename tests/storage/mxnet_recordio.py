"""Read or write RecordIO with MXNet itself; run by an interpreter that has it, which is Python 3.8 at most.

``python mxnet_recordio.py ACTION FOLDER`` prints as JSON what MXNet read or wrote, record by record.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import mxnet

MAGIC = b"\x0a\x23\xd7\xce"
SIDE = 24


def record(key, header, image):
    labels = [float(header.label)] if header.flag == 0 else [float(value) for value in header.label]
    return [key, header.flag, labels, header.id, hashlib.sha256(image).hexdigest()]


def read(folder):
    records = mxnet.recordio.MXIndexedRecordIO(f"{folder}/train.idx", f"{folder}/train.rec", "r")
    return [record(key, *mxnet.recordio.unpack(records.read_idx(key))) for key in records.keys]


def scan(folder):
    """One record after another, without the index."""
    records = mxnet.recordio.MXRecordIO(f"{folder}/train.rec", "r")
    return [record(number, *mxnet.recordio.unpack(data)) for number, data in enumerate(iter(records.read, None))]


def decode(folder):
    """Label and mean of the pixels of each image, from MXNet's native reader, which decodes in C++."""
    batches = mxnet.io.ImageRecordIter(
        path_imgrec=f"{folder}/train.rec", data_shape=(3, SIDE, SIDE), batch_size=1, preprocess_threads=1
    )
    return [[float(one.label[0].asscalar()), float(one.data[0].mean().asscalar())] for one in batches]


def write_all(folder, records):
    file = mxnet.recordio.MXIndexedRecordIO(f"{folder}/train.idx", f"{folder}/train.rec", "w")
    written = []
    for key, label, image in records:
        packed = mxnet.recordio.pack(mxnet.recordio.IRHeader(0, label, key, 0), image)
        file.write_idx(key, packed)
        written.append(record(key, *mxnet.recordio.unpack(packed)))
    file.close()
    return written


def write(folder):
    """im2rec's form: numbers that don't count up, one label or several, and payloads that hold the magic number."""
    payloads = [
        (30, 7.0, b"one"),
        (10, [2.0, 0.5], b"two labels"),
        (20, 0.0, MAGIC),
        (40, [7.0], b"12345678" + MAGIC * 2 + b"x"),
        (50, [1.0, 2.0, 3.0], b"x" + MAGIC + b"yz" + MAGIC),
        (60, 5.0, bytes(range(256)) * 99),
    ]
    return write_all(folder, payloads)


def images_of(folder):
    """Class and bytes of the images in ``images/CLASS``, class by class."""
    return [(int(path.parent.name), path.read_bytes()) for path in sorted(Path(folder, "images").glob("*/*"))]


def write_several_labels(folder):
    """Images with one label, or two, or more, under keys that count down."""
    images = images_of(folder)
    extra = [[], [0.5], [3.0, -1.0]]
    labels = [float(label) if k % 4 == 3 else [float(label), *extra[k % 4]] for k, (label, _) in enumerate(images)]
    return write_all(folder, [(9000 - k, labels[k], image) for k, (_, image) in enumerate(images)])


def write_insightface(folder):
    """The layout of InsightFace's face2rec2.py: header record, images from 1 on, identity records behind them."""
    images = images_of(folder)
    classes = sorted({label for label, _ in images})
    first = len(images) + 1
    records = [(0, [float(first), float(first + len(classes))], b"")]
    records += [(1 + k, float(label), image) for k, (label, image) in enumerate(images)]
    for k, label in enumerate(classes):
        places = [1 + n for n, (other, _) in enumerate(images) if other == label]
        records.append((first + k, [float(places[0]), float(places[-1] + 1)], b""))
    return write_all(folder, records)


def im2rec(folder):
    """MXNet's own command, which shuffles: first the list, then the records, with the files as they are."""
    script = Path(mxnet.__file__).parent / "tools/im2rec.py"
    for options in (["--list", "--recursive"], ["--pass-through"]):
        command = [sys.executable, str(script), f"{folder}/train", f"{folder}/images", *options]
        subprocess.run(command, check=True, stdout=sys.stderr)
    return read(folder)


if __name__ == "__main__":
    json.dump(globals()[sys.argv[1]](sys.argv[2]), sys.stdout)
