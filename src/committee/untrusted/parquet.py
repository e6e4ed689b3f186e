"""Reader of untrusted Parquet files, which counts rows and bytes before they fill the memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from committee.untrusted.growth import check_growth

ROW = 100
"""Bytes that a row takes at least once its id and label are text."""
BATCH = 512


def read_parquet(path: Path) -> Any:
    """Return the `pyarrow.Table` of a file.

    A dictionary of equal values lets a small file describe many rows. A file is refused if its rows would
    take more than 256 MiB and more than a hundred times its size (`growth.check_growth`): by their number
    before anything is read, and by their bytes while it is read.

    Raises
    ------
    ValueError
        The file would occupy much more memory than its size.
    ImportError
        pyarrow is not installed.
    Exception
        A damaged file raises errors of many kinds.
    """
    import pyarrow as pa
    from pyarrow import parquet

    size = path.stat().st_size
    with parquet.ParquetFile(path) as file:
        facts, schema = file.metadata, file.schema_arrow
    check_growth(size, 4 * facts.num_rows * facts.num_columns)
    check_growth(size, ROW * facts.num_rows)
    # Columns of text stay dictionaries, so that equal values are in memory once.
    texts = [field.name for field in schema if str(field.type) in ("string", "large_string", "binary")]
    with parquet.ParquetFile(path, read_dictionary=texts) as file:
        batches, taken = [], 0
        for batch in file.iter_batches(batch_size=BATCH):
            taken += batch.nbytes + sum(map(_expanded, batch.columns))
            check_growth(size, taken)
            batches.append(batch)
        return pa.Table.from_batches(batches, file.schema_arrow)


def _expanded(column: Any) -> int:
    """Return the number of bytes of the text of a column that is a dictionary."""
    from pyarrow import compute

    if not re.match(r"dictionary<values=(large_)?(string|binary)", str(column.type)):
        return 0
    lengths = compute.binary_length(column.dictionary).take(column.indices)
    return int(compute.sum(lengths).as_py() or 0)
