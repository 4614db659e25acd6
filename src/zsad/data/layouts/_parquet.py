"""Tables in Parquet files: rows as checked entries. Needs pyarrow, which is imported when a table is read."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zsad.data.layouts._listed import ListedImage, malformed
from zsad.documents import LIST_LIMIT
from zsad.errors import DependencyError, InputError

MOST_ROWS = 2_000_000


def rows(file: Path, columns: Mapping[str, type]) -> Iterator[ListedImage]:
    """The rows of a table.

    Args:
        file: the table.
        columns: to be read, with the type that their values have; any value may be missing (None).

    Raises:
        DependencyError: pyarrow is not installed.
        InputError: the file cannot be read, is too large, or has no such column of that type.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise DependencyError("tables in Parquet are read by pyarrow", error, "pip install 'zsad[parquet]'") from error
    try:
        known = parquet.read_schema(file).names
        if missing := [name for name in columns if name not in known]:
            value = f"columns {', '.join(known[:20]) or 'none'}"
            raise malformed(f"the table has the column {missing[0]}", str(file), value)
        # Text that repeats is kept once, so that a small file cannot become a large table.
        text = [name for name, kind in columns.items() if kind is str]
        with parquet.ParquetFile(file, read_dictionary=text) as table:
            _check_size(table, file)
            found = table.read(columns=[*columns])
    except (OSError, KeyError, arrow.ArrowException) as error:
        raise InputError(
            "a table is a readable Parquet file", f"{file}: {error}", "copy or download the file again"
        ) from error
    values = {name: _values(found.column(name)) for name in columns}
    for number, row in enumerate(zip(*values.values(), strict=True), start=1):
        entry = ListedImage(dict(zip(values, row, strict=True)), f"{file}, row {number}")
        for name, kind in columns.items():
            if not isinstance(entry.values[name], kind | None):
                raise malformed(
                    f"{name} is {'text' if kind is str else 'true or false'}", entry.where, entry.values[name]
                )
        yield entry


def _check_size(table: Any, file: Path) -> None:
    metadata = table.metadata
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    if metadata.num_rows > MOST_ROWS or size > LIST_LIMIT:
        rule = f"a table has at most {MOST_ROWS:,} rows and {LIST_LIMIT >> 20} MiB"
        raise InputError(rule, f"{file}: {metadata.num_rows:,} rows, {size >> 20} MiB", "take the table as published")


def _values(column: Any) -> list[Any]:
    """The values of a column; those of a chunk that repeat are one object."""
    values: list[Any] = []
    for chunk in column.chunks:
        if not hasattr(chunk, "dictionary"):
            values += chunk.to_pylist()
            continue
        kinds = chunk.dictionary.to_pylist()
        values += [None if index is None else kinds[index] for index in chunk.indices.to_pylist()]
    return values
