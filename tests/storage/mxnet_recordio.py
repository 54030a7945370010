"""Read or write RecordIO with MXNet itself; run by an interpreter that has it, which is Python 3.8 at most.

``python mxnet_recordio.py read FOLDER`` prints the records of ``train.rec`` as JSON; ``write FOLDER`` writes some, and
prints what it wrote.
"""

import hashlib
import json
import sys

import mxnet

MAGIC = b"\x0a\x23\xd7\xce"


def record(key, header, image):
    labels = [float(header.label)] if header.flag == 0 else [float(value) for value in header.label]
    return [key, header.flag, labels, header.id, hashlib.sha256(image).hexdigest()]


def read(folder):
    records = mxnet.recordio.MXIndexedRecordIO(f"{folder}/train.idx", f"{folder}/train.rec", "r")
    return [record(key, *mxnet.recordio.unpack(records.read_idx(key))) for key in records.keys]


def write(folder):
    """im2rec's form: numbers that don't count up, one label or several, and payloads that hold the magic number."""
    records = mxnet.recordio.MXIndexedRecordIO(f"{folder}/train.idx", f"{folder}/train.rec", "w")
    written = []
    for key, label, image in [
        (30, 7.0, b"one"),
        (10, [2.0, 0.5], b"two labels"),
        (20, 0.0, MAGIC),
        (40, [7.0], b"12345678" + MAGIC * 2 + b"x"),
        (50, [1.0, 2.0, 3.0], b"x" + MAGIC + b"yz" + MAGIC),
        (60, 5.0, bytes(range(256)) * 99),
    ]:
        header = mxnet.recordio.IRHeader(0, label, key, 0)
        packed = mxnet.recordio.pack(header, image)
        records.write_idx(key, packed)
        written.append(record(key, *mxnet.recordio.unpack(packed)))
    records.close()
    return written


if __name__ == "__main__":
    json.dump({"read": read, "write": write}[sys.argv[1]](sys.argv[2]), sys.stdout)
