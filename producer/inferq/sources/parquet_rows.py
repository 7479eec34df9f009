"""Rows of a Parquet file, read by the batch (pyarrow, extra `parquet`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inferq.sources.bytes import FileSource
from inferq.sources.rows import BLOCK_BYTES, BLOCK_ROWS, Block, RowReader
from inferq_core.columns import Layout
from inferq_core.errors import InvalidInput, SettingsError


class ParquetReader(RowReader[FileSource]):
    """Columns go by name for a model with names, else by position. Null is a missing value.

    Memory grows with the row groups of a file, which are read one after the other, and not with the file.
    """

    format = "parquet"
    place = "row"

    def blocks(self) -> Iterator[Block]:
        arrow, parquet = _pyarrow()
        try:
            metadata = parquet.read_metadata(self.source.path)
            first = 0
            for batch in self._batches(parquet, metadata):
                first, places = first + len(batch), range(first, first + len(batch))
                self.source.read = self.source.size * first // metadata.num_rows
                if len(batch):
                    yield Block(places, self._shaped(batch, arrow))
        except (OSError, arrow.ArrowException) as error:
            reason = (getattr(error, "strerror", None) or str(error)).split("\n")[0].rstrip(".")
            raise InvalidInput(f"{self.source.name}: {reason}") from error

    def _batches(self, parquet: Any, metadata: Any) -> Iterator[Any]:
        """Mapped, and opened anew for each row group: memory holds the pages of one, which the system may drop."""
        for group in range(metadata.num_row_groups):
            with parquet.ParquetFile(self.source.path, metadata=metadata, memory_map=True, pre_buffer=False) as file:
                yield from file.iter_batches(_batch_rows(metadata), row_groups=[group], use_threads=False)

    def where(self, place: int) -> str:
        return f"{super().where(place)} (counted from 0)"

    def _shaped(self, batch: Any, arrow: Any) -> Sequence[Any] | NDArray[np.float64]:
        signature = self.signature
        if signature.named and sorted(batch.schema.names) == sorted(signature.names):
            batch = batch.select(list(signature.names))
        in_order = not signature.named or batch.schema.names == list(signature.names)
        if in_order and all(column.is_float for column in signature.columns) and _has_numbers(batch, arrow):
            return _matrix(batch)
        if signature.named:
            return batch.to_pylist()  # type: ignore[no-any-return]
        values = [column.to_pylist() for column in batch.columns]
        if signature.layout is Layout.TEXTS and len(values) == 1:
            return values[0]  # type: ignore[no-any-return]
        return [list(row) for row in zip(*values, strict=True)]


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise SettingsError("reading Parquet needs pyarrow: pip install 'inferq[parquet]'") from None
    return pa, parquet


def _batch_rows(metadata: Any) -> int:
    """As many rows as make a block."""
    size: int = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES * int(metadata.num_rows) // max(size, 1)))


def _has_numbers(batch: Any, arrow: Any) -> bool:
    tests = (arrow.types.is_float64, arrow.types.is_float32, arrow.types.is_integer)
    return all(any(test(kind) for test in tests) for kind in batch.schema.types)


def _matrix(batch: Any) -> NDArray[np.float64]:
    """Null becomes NaN. By way of a tensor, because a column's `to_numpy` imports pandas."""
    tensor = batch.to_tensor(null_to_nan=True, row_major=True)
    return np.asarray(tensor.to_numpy(), dtype=np.float64)
