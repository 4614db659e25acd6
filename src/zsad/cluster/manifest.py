"""Lists of images as tables: CSV, JSON Lines or Parquet with a column ``path`` and, if it likes, ``class_name``."""

import hashlib
import os
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zsad import remote
from zsad.config import check_class_name
from zsad.data.decoding.guard import Stream
from zsad.errors import DependencyError, InputError
from zsad.files import open_file

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = (".csv", ".jsonl", ".ndjson", ".parquet")
PATH, CLASS_NAME, ROW = "path", "class_name", "row"
REMEDY = "name a .csv, .jsonl or .parquet file with a column path, one image a row"


class Manifest:
    """The images of a run, each once, in the order of their first rows.

    Attributes:
        table: ``row`` (int64, the number of the row from 0), ``path`` (a path, or a URL), ``class_name``.
        repeated: rows that were left out because an earlier one has the same path and class.

    Args:
        source: path or URL of a table; paths in it are relative to its folder.
        class_name: what the images of rows without a class show, in plain English.

    Raises:
        InputError: it cannot be read, or a row has no path.
        ConfigError: a class name is not text on one line, or a URL has a scheme that is not supported.
        DependencyError: pyarrow, or the file system of a URL, is not installed.
    """

    def __init__(self, source: str, class_name: str = "object") -> None:
        arrow = require_arrow()
        compute = arrow.compute
        table = _read(source)
        if table[PATH].null_count or not len(table):
            value = f"{table[PATH].null_count:,} rows of {source} without one" if len(table) else f"{source}, empty"
            raise InputError("every row of a manifest has a path", value, REMEDY)
        classes = compute.fill_null(table[CLASS_NAME], "")
        classes = compute.if_else(compute.equal(classes, ""), class_name, classes)
        for name in compute.unique(classes).to_pylist():
            check_class_name(name)
        rows = arrow.array(range(len(table)), arrow.int64())
        paths = _absolute(compute, table[PATH], _folder(source))
        numbered = arrow.table({ROW: rows, PATH: paths, CLASS_NAME: classes})
        first = numbered.group_by([PATH, CLASS_NAME], use_threads=False).aggregate([(ROW, "min")])
        named = {f"{ROW}_min": ROW, PATH: PATH, CLASS_NAME: CLASS_NAME}
        once = first.select(list(named)).rename_columns(list(named.values()))
        self.table: pa.Table = once.sort_by(ROW).combine_chunks()
        self.repeated = len(table) - len(self.table)
        schemes = compute.extract_regex(self.table[PATH], f"^(?P<scheme>{remote.SCHEME})://")
        names = compute.struct_field(schemes, "scheme").unique().to_pylist()
        remote.check_schemes(f"{name}://" for name in names if name is not None)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def class_names(self) -> list[str]:
        """The classes of the images, sorted."""
        return sorted(self.table[CLASS_NAME].unique().to_pylist())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of rows, paths and classes."""
        found = hashlib.sha256()
        for batch in self.table.to_batches(max_chunksize=65536):
            columns = (batch.column(name).to_pylist() for name in (ROW, PATH, CLASS_NAME))
            found.update("".join(f"{row}\0{path}\0{name}\n" for row, path, name in zip(*columns, strict=True)).encode())
        return found.hexdigest()


def require_arrow() -> Any:
    """The module pyarrow, with its parts for tables.

    Raises:
        DependencyError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.csv
        import pyarrow.json
        import pyarrow.parquet
    except ImportError as error:
        raise DependencyError("manifests need pyarrow", error, "run: pip install 'zsad[cluster]'") from error
    return pyarrow


def _read(source: str) -> "pa.Table":
    """The columns ``path`` and ``class_name`` as text; a column that is not there is null."""
    arrow = require_arrow()
    suffix = Path(source).suffix.lower()
    if suffix not in KINDS:
        raise InputError(f"a manifest ends in {', '.join(KINDS)}", source, REMEDY)
    with closing(_opened(source)) as file:
        try:
            table = {".csv": _csv, ".parquet": _parquet}.get(suffix, _json_lines)(arrow, file)
            table.validate(full=True)  # not every reader of Arrow looks at UTF-8
        except (arrow.ArrowException, OSError, ValueError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"a manifest is a readable {suffix} file", f"{source} ({reason[:500]})", REMEDY) from error
    if PATH not in table.column_names:
        raise InputError("a manifest has a column path", f"{source} with {table.column_names[:20]}", REMEDY)
    if CLASS_NAME not in table.column_names:
        table = table.append_column(CLASS_NAME, arrow.nulls(len(table), arrow.string()))
    return table.select([PATH, CLASS_NAME])


def _opened(source: str) -> Stream:
    if not remote.is_url(source):
        return open_file(Path(source))
    local = remote.local_path(source)
    return BytesIO(remote.read(source)) if local is None else open_file(Path(local))


def _csv(arrow: Any, file: Stream) -> "pa.Table":
    text = {name: arrow.string() for name in (PATH, CLASS_NAME)}
    convert = arrow.csv.ConvertOptions(column_types=text)
    table = arrow.csv.read_csv(file, arrow.csv.ReadOptions(use_threads=False), convert_options=convert)
    empty = arrow.compute.equal(table[PATH], "") if PATH in table.column_names else None
    if empty is not None and arrow.compute.any(empty).as_py():
        table = table.set_column(
            table.column_names.index(PATH),
            PATH,
            arrow.compute.if_else(empty, arrow.scalar(None, arrow.string()), table[PATH]),
        )
    return table


def _json_lines(arrow: Any, file: Stream) -> "pa.Table":
    schema = arrow.schema([(PATH, arrow.string()), (CLASS_NAME, arrow.string())])
    parse = arrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    return arrow.json.read_json(file, arrow.json.ReadOptions(use_threads=False), parse)


def _parquet(arrow: Any, file: Stream) -> "pa.Table":
    found = arrow.parquet.ParquetFile(file)
    names = [name for name in (PATH, CLASS_NAME) if name in found.schema_arrow.names]
    table = found.read(columns=names, use_threads=False)
    return table.cast(arrow.schema([(name, arrow.string()) for name in table.column_names]))


def _folder(source: str) -> str:
    """Of the manifest: what its relative paths begin with."""
    return source.rsplit("/", 1)[0] if remote.is_url(source) else os.path.dirname(os.path.abspath(source))


def _absolute(compute: Any, paths: Any, folder: str) -> Any:
    """Paths and URLs as they are where they are absolute, else below the folder."""
    is_absolute = compute.match_substring_regex(paths, rf"^(/|[A-Za-z]:[\\/]|{remote.SCHEME}://)")
    return compute.if_else(is_absolute, paths, compute.binary_join_element_wise(folder.rstrip("/"), paths, "/"))
