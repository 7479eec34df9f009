"""What a skops file may unpack to. Looked at before skops opens it: nothing of it is built here."""

from __future__ import annotations

import io
import json
import math
import zipfile
from typing import IO

import numpy as np
from numpy.lib import format as npy

from inferq_core.errors import ArtifactRejected

# What skops writes, and what inflates piece by piece: bzip2 and LZMA unpack a whole block whatever is asked for.
_COMPRESSIONS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
# Bytes that are unpacked at a time.
_PIECE = 1 << 20
# Array files of arrays (.npz) stand in the archive for sparse matrices; they hold no further ones.
_DEPTH = 1
_ARRAY = b"\x93NUMPY"
_ZIP = b"PK"
_SCHEMA = "schema.json"


def check_archive(data: bytes, max_bytes: int) -> None:
    """Raise ArtifactRejected unless `data` is a zip file that unpacks to `max_bytes` at the most.

    What the entries say of their size counts, what really comes out of them, the memory that an array's header asks
    for, and an entry that the schema names many times as often as it is named. Files that are no zip at all, and
    entries of the same name, are refused too: two readers would see two models.
    """
    try:
        _Count(max_bytes).archive(io.BytesIO(data), _DEPTH)
        _check_references(data, max_bytes)
    except ArtifactRejected:
        raise
    except Exception as error:  # zipfile and numpy raise a dozen kinds for damaged files
        raise ArtifactRejected(
            f"the artifact is not in skops format and cannot be read ({type(error).__name__}: {error!s:.200})"
        ) from error


class _Count:
    """Bytes that may still be unpacked."""

    def __init__(self, max_bytes: int) -> None:
        self._max = self._left = max_bytes

    def archive(self, file: IO[bytes], depth: int) -> None:
        with zipfile.ZipFile(file) as opened:
            entries = opened.infolist()
            if len({entry.filename for entry in entries}) < len(entries):
                raise ArtifactRejected("the artifact has two entries of one name: it was damaged or crafted")
            self.require(sum(entry.file_size for entry in entries))
            for entry in entries:
                if entry.compress_type not in _COMPRESSIONS:
                    raise ArtifactRejected(
                        f"{entry.filename[:80]!r} in the artifact is compressed in a way that skops never uses"
                    )
                self._entry(opened, entry, depth)

    def _entry(self, opened: zipfile.ZipFile, entry: zipfile.ZipInfo, depth: int) -> None:
        with opened.open(entry) as content:
            while piece := content.read(_PIECE):
                self.require(len(piece))
                self._left -= len(piece)
        # By the first bytes, as numpy decides: the schema may give an array any name.
        with opened.open(entry) as content:
            start = content.read(len(_ARRAY))
            content.seek(0)
            if start == _ARRAY:
                _check_array(content, entry)
            elif start.startswith(_ZIP) and depth:
                self.archive(content, depth - 1)

    def require(self, n_bytes: int) -> None:
        if n_bytes > self._left:
            raise ArtifactRejected(
                f"the artifact unpacks to more than {self._max:,} bytes. If it is meant to, raise "
                "INFERQ_MAX_ARTIFACT_BYTES for whoever registers it and for the workers"
            )


def _check_references(data: bytes, max_bytes: int) -> None:
    """Every node of the schema that names an entry gets a copy of it."""
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        sizes = {entry.filename: entry.file_size for entry in opened.infolist()}
        nodes = [json.loads(opened.read(_SCHEMA))]
    copies = 0
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            name = node.get("file")
            copies += sizes.get(name, 0) if isinstance(name, str) else 0
            nodes.extend(node.values())
        elif isinstance(node, list):
            nodes.extend(node)
    _Count(max_bytes).require(copies)


def _check_array(content: IO[bytes], entry: zipfile.ZipInfo) -> None:
    """Numpy takes the memory that the header asks for before it reads."""
    version = npy.read_magic(content)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read_header(content)
    if dtype.hasobject or math.prod(shape) * np.dtype(dtype).itemsize > entry.file_size:
        raise ArtifactRejected(f"the array {entry.filename[:80]!r} in the artifact was damaged or crafted")
