"""Many jobs from one iterable: one per item, in chunks, without holding the items."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferq_core.store.records import NewJob

# One transaction's worth: large enough to make its cost small, small enough that workers start early.
CHUNK_JOBS = 1_000
CHUNK_ROWS = 4_000
CHUNK_BYTES = 4 * 1024 * 1024
# A slow source: a chunk leaves, whatever its size, with the first item that comes so many seconds after its start.
CHUNK_SECONDS = 0.1
# Cells of items that are held, and checked together, at the most; one item of more is held alone.
BLOCK_CELLS = 200_000


def blocks(items: Iterable[Any]) -> Iterator[Sequence[Any] | NDArray[Any]]:
    """The items in order, as many together as make up a chunk; a block is handed out before the next item is drawn."""
    if type(items) is np.ndarray and items.ndim == 2:  # noqa: PLR2004 - its rows need not be taken apart
        size = max(1, min(CHUNK_JOBS, BLOCK_CELLS // max(items.shape[1], 1)))
        yield from (items[start : start + size] for start in range(0, len(items), size))
        return
    block: list[Any] = []
    cells = 0
    started = 0.0
    for item in items:
        started = started if block else time.monotonic()
        block.append(item)
        cells += _cells(item)
        full = len(block) >= CHUNK_JOBS or cells >= BLOCK_CELLS
        if full or time.monotonic() - started >= CHUNK_SECONDS:
            yield block
            block, cells = [], 0
    if block:
        yield block


def _cells(item: Any) -> int:
    """About how many values it holds; a text counts by its length."""
    if isinstance(item, np.ndarray):
        return item.size
    if not isinstance(item, (list, tuple, Mapping, str)) or not item:
        return int(getattr(item, "size", 1))
    first = item[0] if isinstance(item, (list, tuple)) else None
    return len(item) * (len(first) if isinstance(first, (list, tuple, Mapping, str, np.ndarray)) else 1)


def chunks(jobs: Iterable[NewJob]) -> Iterator[list[NewJob]]:
    """The jobs in order, in lists that keep to the limits above; a list is handed out before the next item is drawn."""
    chunk: list[NewJob] = []
    rows = size = 0
    started = 0.0
    for job in jobs:
        started = started if chunk else time.monotonic()
        chunk.append(job)
        rows += job.n_rows
        size += len(job.inputs)
        full = len(chunk) >= CHUNK_JOBS or rows >= CHUNK_ROWS or size >= CHUNK_BYTES
        if full or time.monotonic() - started >= CHUNK_SECONDS:
            yield chunk
            chunk, rows, size = [], 0, 0
    if chunk:
        yield chunk
