"""Pickles of plain values from users' files: numbers, texts, bytes, NumPy arrays of them, and lists. Nothing is run.

A pickle is a program that may call any function. Here its instructions are checked before it is loaded, the few names
that arrays and bytes need stand for harmless functions of this module, and all others are refused.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Iterator
from typing import Any

import numpy as np

#: Instructions that name classes by number, make objects by other ways than a call, or refer to outside of the file.
_MAKING = ("EXT1", "EXT2", "EXT4", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX")
_REFUSED = frozenset((*_MAKING, "PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER"))
#: Instructions that number a value; the loader allocates memory for all lower numbers.
_NUMBERING = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_CODES = {operation.code: operation for operation in pickletools.opcodes}
_OBJECT, _OBJECTS = np.dtype("O"), ("O", "O4", "O8")
_LATIN = frozenset(("latin1", "latin-1", "iso-8859-1", "iso8859-1"))
#: Element types of arrays, by NumPy's codes.
_DTYPES = {code: np.dtype(code) for code in ("b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")}


class PlainPickleError(ValueError):
    """A pickle that is damaged, or of anything else than plain values."""


def load_plain(data: bytes, *, arrays: bool = False) -> Any:
    """The value of a pickle of any protocol, of Python 2 too, whose strings become bytes.

    Numbers, texts, bytes, None, and lists, tuples, sets and dicts of them are read; with `arrays`, NumPy arrays and
    scalars of booleans and numbers, and arrays of Python's texts, too. PlainPickleError for everything else, before
    anything of it is made.
    """
    try:
        _check_instructions(data)
        found = _PlainUnpickler(data, arrays=arrays).load()
        return _finished(found, depth=0) if arrays else found
    except PlainPickleError:
        raise
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        raise PlainPickleError(f"a damaged pickle: {error}") from error


def _check_instructions(data: bytes) -> None:
    for number, (code, argument) in enumerate(_instructions(data)):
        if code.name in _REFUSED:
            raise PlainPickleError(f"a pickle with {code.name}, which is not read since it could run code")
        if code.name in _NUMBERING and int(argument or 0) > number:
            raise PlainPickleError("a damaged pickle: it numbers more values than it has")


def _instructions(data: bytes) -> Iterator[tuple[pickletools.OpcodeInfo, Any]]:
    """Instructions with their arguments, as ``pickletools.genops``, which fails at a Python 2 string of bytes."""
    stream = io.BytesIO(data)
    while True:
        code = _CODES.get(stream.read(1).decode("latin-1"))
        if code is None:
            raise PlainPickleError(f"a damaged pickle: no instruction at byte {max(stream.tell() - 1, 0)}")
        if code.name == "STRING":
            yield code, stream.readline()
        else:
            yield code, None if code.arg is None else code.arg.reader(stream)
        if code.name == "STOP":
            return


class _PlainUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes, *, arrays: bool) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._known = _ARRAYS | _BYTES if arrays else _BYTES

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy._core.", "numpy.core.")
        if (module, name) not in self._known:
            raise PlainPickleError(f"a pickle of {module}.{name}, which is not read since it could run code")
        return _Callable(self._known[module, name])


class _Callable:
    """A function under a name of a pickle, which the pickle's instructions can call but not change."""

    __slots__ = ("_function",)
    _function: Any

    def __init__(self, function: Any) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise PlainPickleError("a pickle that changes what it calls")

    def __setstate__(self, state: Any) -> None:
        raise PlainPickleError("a pickle that changes what it calls")


def _to_bytes(text: Any = "", encoding: Any = "latin1") -> bytes:
    """What Python 3 writes for bytes in the old protocols."""
    name = encoding.decode("ascii", "replace") if isinstance(encoding, bytes) else encoding
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str) or name not in _LATIN:
        raise PlainPickleError("a pickle of bytes in an unusual form")
    return text.encode("latin-1")


class _Dtype:
    """Element type of an array."""

    def __init__(self, code: Any, *_: Any) -> None:
        text = code.decode("ascii", "replace") if isinstance(code, bytes) else code
        if text not in _DTYPES and text not in _OBJECTS:
            raise PlainPickleError(f"a pickle of an array of {text!r}, expected numbers")
        self.dtype = _DTYPES.get(str(text), _OBJECT)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order: Any = state[1].decode("ascii", "replace") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise PlainPickleError("a pickle of an array in an unknown byte order")
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """An array that is being read."""

    def __init__(self, *_: Any) -> None:
        self.value = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        shape, dtype, fortran, data = state[-4:]
        self.value = _as_array(data, dtype, shape, "F" if fortran else "C")


def _as_array(data: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    if isinstance(dtype, _Dtype) and dtype.dtype == _OBJECT:
        return _as_texts(data, shape)
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray):
        raise PlainPickleError("a pickle of an array of something else than numbers")
    flat = np.frombuffer(bytes(data), dtype.dtype)
    if order not in ("C", "F") or not isinstance(shape, tuple) or not all(isinstance(side, int) for side in shape):
        raise PlainPickleError("a pickle of an array without a shape")
    return flat.reshape(shape, order=order)


def _as_texts(data: Any, shape: Any) -> np.ndarray:
    if not isinstance(data, list) or not all(type(value) is str for value in data) or shape != (len(data),):
        raise PlainPickleError("a pickle of an array of something else than texts")
    texts = np.empty(len(data), _OBJECT)
    texts[:] = data
    return texts


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> _Array:
    array = _Array()
    array.value = _as_array(data, dtype, shape, order)
    return array


def _scalar(dtype: Any, data: Any = b"") -> Any:
    return _as_array(data, dtype, (), "C").item()


_BYTES: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _to_bytes,
    ("builtins", "bytes"): _to_bytes,
    ("__builtin__", "bytes"): _to_bytes,
    ("builtins", "bytearray"): _to_bytes,
    ("__builtin__", "bytearray"): _to_bytes,
}
_ARRAYS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): None,  # an argument of _reconstruct
    ("numpy", "dtype"): _Dtype,
}
_DEEPEST = 8


def _finished(value: Any, *, depth: int) -> Any:
    """The value with arrays in place of those being read."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, list | tuple):
        if depth > _DEEPEST:
            raise PlainPickleError("a pickle of lists in lists, nested too deeply")
        return type(value)(_finished(item, depth=depth + 1) for item in value)
    return value
