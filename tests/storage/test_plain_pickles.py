from __future__ import annotations

import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purify.storage.plain_pickles import PlainPickleError, load_plain

IMAGE = bytes(range(256)) * 3


class Reduced:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


@pytest.mark.parametrize("protocol", range(6))
def test_bytes_and_arrays_of_every_protocol(protocol: int) -> None:
    arrays = [np.arange(24, dtype=np.uint8).reshape(2, 4, 3), np.asfortranarray(np.eye(3)), np.array([True, False])]
    value = ([IMAGE, *arrays], [True, False], (np.bool_(True), 3, None, "é"))
    (image, *found), truths, rest = load_plain(pickle.dumps(value, protocol=protocol), arrays=True)
    assert image == IMAGE
    for one, other in zip(found, arrays, strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    assert truths == [True, False]
    assert rest == (True, 3, None, "é")


def test_strings_of_python_2_are_bytes() -> None:
    text = b"T" + struct.pack("<i", len(IMAGE)) + IMAGE
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I3\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntR(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'abc'\ntb"
    )
    image, pixels, truth = load_plain(b"\x80\x02](" + text + array + b"\x88e.", arrays=True)
    assert image == IMAGE
    assert pixels.tolist() == [97, 98, 99]
    assert truth is True
    assert load_plain(b"((lp0\nS'\\xff\\xd8\\n'\np1\naS'ab'\na(lI01\nat.") == ([b"\xff\xd8\n", b"ab"], [True])


def _hostile(ran: Path) -> dict[str, bytes]:
    """Pickles that would make the file `ran`, or fill the memory, or change the reader."""
    call = f"open({os.fspath(ran)!r}, 'w').close()"
    command = f"touch {ran}".encode()
    return {
        "os.system": pickle.dumps(Reduced(os.system, f"touch {ran}")),
        "eval": pickle.dumps(Reduced(eval, call)),
        "inside a list of images": pickle.dumps(([IMAGE, Reduced(eval, call)], [True])),
        "python 2": b"cposix\nsystem\n(S'" + command + b"'\ntR.",
        "inst": b"(S'" + command + b"'\niposix\nsystem\n.",
        "obj": b"(cposix\nsystem\nS'" + command + b"'\no.",
        "object dtype": pickle.dumps(np.array([Reduced(eval, call)], dtype=object)),
        "codecs": pickle.dumps(Reduced(__import__("codecs").encode, "a", "rot13")),
        "memory for a number": b"\x80\x02]r\xff\xff\xff\x7f.",
        "bytes that are not there": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"a.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent": b"Pfile\n.",
        "changed function": b"\x80\x02c_codecs\nencode\n}U\x04nameK\x01s\x86b.",
        "a call of a type": b"cnumpy\nndarray\n(I3\ntR.",
        "shape that is not there": b"\x80\x02cnumpy.core.numeric\n_frombuffer\n(C\x01a"
        b"cnumpy\ndtype\n(U\x02u1\x89\x88tR(I999999999\ntU\x01CtR.",
        "empty": b"",
        "text": b"no pickle",
    }


@pytest.mark.parametrize("name", _hostile(Path("/x")))
@pytest.mark.parametrize("arrays", [False, True])
def test_hostile_pickles_are_refused_and_run_nothing(name: str, arrays: bool, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    with pytest.raises(PlainPickleError):
        load_plain(_hostile(ran)[name], arrays=arrays)
    assert not ran.exists()


def test_arrays_are_refused_where_only_plain_values_are_read() -> None:
    with pytest.raises(PlainPickleError, match="could run code"):
        load_plain(pickle.dumps(np.zeros(2)))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_flipped_byte_is_an_error_or_plain(data: st.DataObject) -> None:
    whole = pickle.dumps(
        ([b"abc", np.arange(3, dtype=np.uint8)], [True]), protocol=data.draw(st.sampled_from((2, 4, 5)))
    )
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[position] = data.draw(st.integers(0, 255))
    try:
        found = load_plain(bytes(damaged), arrays=True)
    except PlainPickleError:
        return
    plain = bool | int | float | str | bytes | bytearray | list | tuple | dict | set | frozenset | np.ndarray | None
    assert isinstance(found, plain)


def test_a_loader_of_the_standard_library_would_run_it(tmp_path: Path) -> None:
    """The traps are real: what the test above refuses does run in `pickle`."""
    pickle.load(io.BytesIO(_hostile(tmp_path / "ran")["eval"]))
    assert (tmp_path / "ran").exists()
