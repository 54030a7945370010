"""Arrays of Python texts in NumPy's files, as pandas' columns are saved: pickles, of which only texts are read."""

from __future__ import annotations

from typing import IO, Any

import numpy as np

from purify.errors import InputError
from purify.storage.locations import Location
from purify.storage.plain_pickles import PlainPickleError, load_plain

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_texts(path: Location, stream: IO[bytes]) -> Any:
    """An array of texts from the ``.npy`` in `stream`, which holds Python objects; None if it holds none.

    InputError if they are something else than texts.
    """
    try:
        header = _HEADERS.get(np.lib.format.read_magic(stream))
        if header is None or not header(stream)[2].hasobject:
            return None
        array = load_plain(stream.read(), arrays=True)
    except PlainPickleError as error:
        raise InputError(
            f"{path}: not plain numbers and texts ({error}); save ids as np.asarray(ids, dtype=str)"
        ) from error
    except Exception as error:  # of a damaged file, NumPy and zipfile raise nearly anything
        raise InputError(f"{path}: not a NumPy file of plain numbers and texts, or a damaged one: {error}") from error
    return array
