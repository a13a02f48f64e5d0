"""The gate on Spark: one program a task, one ledger for all of them.

What Spark does with tasks (retries, speculation, lost executors, a stage computed twice) never pays
twice: the ledger in PostgreSQL sees to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Optional, cast

from . import check as _check

if TYPE_CHECKING:
    import pyarrow
    from pyspark.sql import DataFrame

__all__ = ["check"]

_FIELDS = """
    verdict string,
    reasons array<struct<code: string, message: string>>,
    image struct<format: string, width: bigint, height: bigint, orientation: bigint>,
    face_bbox array<double>,
    ext_bbox array<double>,
    billing struct<images: bigint, certainty: string>,
    request_id string,
    from_ledger boolean,
    model string,
    same_as string,
    fetch struct<bytes: bigint, requests: bigint, redirects: bigint, elapsed_ms: bigint>
"""


def check(
    df: "DataFrame",
    url_col: str,
    *,
    ledger: str,
    ratio_col: Optional[str] = None,
    ratio: Optional[str] = None,
    image_id_col: Optional[str] = None,
    run: Optional[str] = None,
    max_calls: Optional[int] = None,
    **options: Any,
) -> "DataFrame":
    """The input's columns and the contract's fields.

    ``url_col`` is the column with the image's URL; ``ratio_col`` and ``image_id_col`` name columns
    where rows have their own. ``ratio`` is for all rows. ``ledger`` must be one that all executors
    reach: ``postgres://…``. A cap (``max_calls``) counts for all tasks, so it needs ``run``, the name
    of the run; choose it once and keep it when the job is run again.

    Executors need the package and ``DASHSCOPE_API_KEY`` in their environment
    (``spark.executorEnv.DASHSCOPE_API_KEY``). Other keyword arguments are the program's long options.
    """
    from pyspark.sql.types import StructType

    if max_calls is not None and run is None:
        raise ValueError("max_calls counts for all tasks of a run: name it with run=")
    added = cast(StructType, StructType.fromDDL(_FIELDS))
    clash = sorted({field.name for field in added} & set(df.columns))
    if clash:
        raise ValueError(f"the input must not have the columns {clash}: rename them first")
    for column in (url_col, ratio_col, image_id_col):
        if column is not None and column not in df.columns:
            raise ValueError(f"there must be a column {column!r}, found {df.columns}")
    names = [field.name for field in added]
    settings: Dict[str, Any] = dict(
        options, ledger=ledger, ratio=ratio, run=run, max_calls=max_calls
    )

    def task(batches: Iterable["pyarrow.RecordBatch"]) -> Iterator["pyarrow.RecordBatch"]:
        yield from _task(batches, names, url_col, ratio_col, image_id_col, settings)

    schema = StructType(list(df.schema.fields) + list(added.fields))
    return df.mapInArrow(task, schema)


def _task(
    batches: Iterable["pyarrow.RecordBatch"],
    names: List[str],
    url_col: str,
    ratio_col: Optional[str],
    image_id_col: Optional[str],
    settings: Dict[str, Any],
) -> Iterator["pyarrow.RecordBatch"]:
    import pyarrow

    # Rows under way: as many as the program has sources in hand.
    rows: Dict[int, Dict[str, Any]] = {}
    columns: List[Any] = []

    def sources() -> Iterator[Dict[str, Any]]:
        index = 0
        for batch in batches:
            if not columns:
                columns.extend(batch.schema)
            for row in batch.to_pylist():
                rows[index] = row
                index += 1
                url = row[url_col]
                source: Dict[str, Any] = {"image_url": "" if url is None else str(url)}
                if ratio_col is not None and row[ratio_col] is not None:
                    source["ratio"] = str(row[ratio_col])
                if image_id_col is not None and row[image_id_col] is not None:
                    source["image_id"] = str(row[image_id_col])
                yield source

    fields = _arrow_fields()

    def batch_of(done: List[Dict[str, Any]]) -> "pyarrow.RecordBatch":
        schema = pyarrow.schema([*columns, *[fields[name] for name in names]])
        return pyarrow.RecordBatch.from_pylist(done, schema=schema)

    done: List[Dict[str, Any]] = []
    for result in _check(sources(), **settings):
        row = rows.pop(result["index"])
        done.append({**row, **{name: result.get(name) for name in names}})
        if len(done) >= _BATCH:
            yield batch_of(done)
            done = []
    if done:
        yield batch_of(done)


def _arrow_fields() -> Dict[str, Any]:
    import pyarrow as pa

    def struct(**types: Any) -> Any:
        return pa.struct([pa.field(name, of) for name, of in types.items()])

    whole, text = pa.int64(), pa.string()
    types = {
        "verdict": text,
        "reasons": pa.list_(struct(code=text, message=text)),
        "image": struct(format=text, width=whole, height=whole, orientation=whole),
        "face_bbox": pa.list_(pa.float64()),
        "ext_bbox": pa.list_(pa.float64()),
        "billing": struct(images=whole, certainty=text),
        "request_id": text,
        "from_ledger": pa.bool_(),
        "model": text,
        "same_as": text,
        "fetch": struct(bytes=whole, requests=whole, redirects=whole, elapsed_ms=whole),
    }
    return {name: pa.field(name, of) for name, of in types.items()}


_BATCH = 256
