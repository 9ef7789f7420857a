"""A memory's rows as a Parquet file, for data frames and query engines; written only."""

import json
import math
from pathlib import Path
from typing import Any

from memstore.errors import ExtraMissingError
from memstore.exchange.table import Table, facts
from memstore.files import Progress
from memstore.slots.state import plain_column

_ROWS = 512  # per row group


def write_parquet(path: Path, table: Table, progress: Progress) -> None:
    """Write a table as a new file, a row per slot; the facts are in the schema's metadata.

    Columns: slot, source, age, reads, touched, key (C float32), value (the packed bits), and the
    memory's own.

    Raises:
        ExtraMissingError: pyarrow is not installed.
    """
    pa, pq = _pyarrow()
    rows = table.rows
    value_bytes = math.prod(rows.values.shape[1:])
    types = {"str": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    schema = pa.schema(
        [
            *(("slot", pa.int64()), ("source", pa.string()), ("age", pa.int64())),
            *(("reads", pa.int64()), ("touched", pa.int64())),
            ("key", pa.list_(pa.float32(), table.config.key_dim)),
            ("value", pa.binary(value_bytes)),
            *((name, types[str(kind)]) for name, kind in table.config.columns.items()),
        ],
        metadata={name: json.dumps(fact) for name, fact in facts(table).items()},
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, len(rows.slots), _ROWS):
            some = slice(start, start + _ROWS)
            columns = [
                pa.array(rows.slots[some]),
                pa.array([source.decode() for source in rows.sources[some].tolist()], pa.string()),
                pa.array(table.clock - rows.touched[some]),
                pa.array(rows.reads[some]),
                pa.array(rows.touched[some]),
                pa.FixedSizeListArray.from_arrays(rows.keys[some].ravel(), table.config.key_dim),
                pa.array([value.tobytes() for value in rows.values[some]], pa.binary(value_bytes)),
                *(pa.array(plain_column(column[some])) for column in rows.columns.values()),
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            progress(min(start + _ROWS, len(rows.slots)), len(rows.slots))


def _pyarrow() -> tuple[Any, Any]:
    """The library, imported late: an extra, and slow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ExtraMissingError.of("parquet", "pyarrow", "parquet") from error
    return pyarrow, parquet
