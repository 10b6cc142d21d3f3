"""Opens exports with pyarrow, DuckDB, pandas and numpy, and compares every cell with what was expected.

usage: readers.py check DIR    DIR holds table.* and expected.jsonl, kinds.json
       readers.py write DIR    writes spines into DIR
"""

import base64
import datetime
import decimal
import json
import math
import sys

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.json
import pyarrow.parquet as pq


def plain(v):
    """A cell as JSON writes it."""
    if v is None or v is pd.NaT or v is pd.NA:
        return None
    if isinstance(v, (bool, np.bool_)):
        return bool(v)
    if isinstance(v, (int, np.integer)):
        return int(v)
    if isinstance(v, (float, np.floating)):
        v = float(v)
        if math.isnan(v):
            return "NaN"
        if math.isinf(v):
            return "Infinity" if v > 0 else "-Infinity"
        return v
    if isinstance(v, (bytes, bytearray)):
        return base64.b64encode(bytes(v)).decode()
    if isinstance(v, datetime.datetime):  # pandas' Timestamp too
        if v.tzinfo is None:
            return v.strftime("%Y-%m-%dT%H:%M:%S.%f")
        return v.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(v, datetime.date):
        return v.isoformat()
    if isinstance(v, datetime.time):
        return v.strftime("%H:%M:%S.%f")
    if isinstance(v, decimal.Decimal):
        return str(v)
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, (list, tuple, np.ndarray)):
        if len(v) > 0 and isinstance(v[0], tuple) and len(v[0]) == 2:  # a map of pyarrow
            return {k: plain(x) for k, x in v}
        return [plain(x) for x in v]
    return v


def same(got, want, kind):
    if kind == "map" and got == []:
        got = {}
    return got == want


class Check:
    def __init__(self, folder):
        self.folder = folder
        with open(f"{folder}/expected.jsonl") as f:
            self.rows = [json.loads(line) for line in f]
        with open(f"{folder}/kinds.json") as f:
            self.kinds = json.load(f)
        self.names = list(self.kinds)

    def path(self, name):
        return f"{self.folder}/{name}"

    def cells(self, what, rows, only=None):
        """rows: a list of dicts of plain cells."""
        assert len(rows) == len(self.rows), f"{what}: {len(rows)} rows of {len(self.rows)}"
        for i, (got, want) in enumerate(zip(rows, self.rows)):
            for name in only or self.names:
                if not same(got[name], want[name], self.kinds[name]):
                    raise AssertionError(f"{what}: row {i + 1}, {name}: got {got[name]!r}, want {want[name]!r}")
        print(f"ok {what}")

    def table(self, what, t):
        assert t.column_names == self.names, f"{what}: columns {t.column_names}"
        cols = {n: [plain(v) for v in t.column(n).to_pylist()] for n in self.names}
        self.cells(what, [{n: cols[n][i] for n in self.names} for i in range(t.num_rows)])

    def relation(self, what, rel):
        assert rel.columns == self.names, f"{what}: columns {rel.columns}"
        self.cells(what, [dict(zip(self.names, map(plain, r))) for r in rel.fetchall()])

    # What a data frame has for a null depends on the type; only whole columns are compared.
    def frame(self, what, df):
        assert list(df.columns) == self.names, f"{what}: columns {list(df.columns)}"
        flat = [n for n in self.names if self.kinds[n] in ("long", "string", "timestamp")]
        rows = []
        for r in df[flat].to_dict("records"):
            rows.append({n: None if not isinstance(v, str) and pd.isna(v) else plain(v) for n, v in r.items()})
        for r in rows:
            for n in flat:
                if self.kinds[n] == "long" and isinstance(r[n], float):
                    r[n] = int(r[n])
        self.cells(what, rows, flat)


ARROW = {
    "boolean": pa.bool_(), "long": pa.int64(), "double": pa.float64(), "string": pa.string(), "bytes": pa.binary(),
    "timestamp": pa.timestamp("us", "UTC"), "local timestamp": pa.timestamp("us"), "date": pa.date32(),
    "time": pa.time64("us"), "decimal": pa.string(),
}


def check(folder):
    c = Check(folder)
    # Arrow: mapped into memory, without a copy.
    with pa.memory_map(c.path("table.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
        for n in c.names:
            if c.kinds[n] in ARROW:
                assert table.schema.field(n).type == ARROW[c.kinds[n]], table.schema.field(n)
        assert table.schema.field("mean_vec").type == pa.list_(pa.float64(), 3), table.schema.field("mean_vec")
        assert table.schema.field("amounts").type == pa.list_(pa.float64()), table.schema.field("amounts")
        assert table.schema.field("by_tag").type == pa.map_(pa.string(), pa.float64()), table.schema.field("by_tag")
        c.table("pyarrow: arrow", table)
        c.relation("duckdb: arrow", duckdb.from_arrow(table))
        vec = table.column("mean_vec").chunk(0).drop_null()
        matrix = vec.flatten().to_numpy(zero_copy_only=False).reshape(-1, 3)
        want = [r["mean_vec"] for r in c.rows if r["mean_vec"] is not None][: len(matrix)]
        assert np.array_equal(matrix, np.array(want, dtype=float), equal_nan=True), "numpy: vectors"
        ids = table.column("id").chunk(0).to_numpy(zero_copy_only=True)
        assert ids.dtype == np.int64 and ids[0] == c.rows[0]["id"]
        print("ok numpy: arrow")
        del ids, matrix, vec, table
    c.table("pyarrow: feather", pa.feather.read_table(c.path("table.feather")))
    c.frame("pandas: feather", pd.read_feather(c.path("table.feather")))

    meta = pq.ParquetFile(c.path("table.parquet")).metadata
    strings = [i for i in range(meta.num_columns) if meta.schema.column(i).logical_type.type == "STRING"]
    assert strings, meta.schema
    for i in strings:
        assert "RLE_DICTIONARY" in meta.row_group(0).column(i).encodings, meta.row_group(0).column(i)
    table = pq.read_table(c.path("table.parquet"))
    for n in c.names:
        if c.kinds[n] in ARROW:
            assert table.schema.field(n).type == ARROW[c.kinds[n]], table.schema.field(n)
    assert pa.types.is_list(table.schema.field("mean_vec").type), table.schema.field("mean_vec")
    assert pa.types.is_map(table.schema.field("by_tag").type), table.schema.field("by_tag")
    c.table("pyarrow: parquet", table)
    c.relation("duckdb: parquet", duckdb.sql(f"select * from read_parquet('{c.path('table.parquet')}')"))
    c.frame("pandas: parquet", pd.read_parquet(c.path("table.parquet")))

    for ext in ("jsonl", "jsonl.gz", "jsonl.zst"):
        with pa.input_stream(c.path(f"table.{ext}"), compression={"gz": "gzip", "zst": "zstd"}.get(ext[6:])) as f:
            lines = f.read().decode().splitlines()
        c.cells(f"python: {ext}", [json.loads(line) for line in lines])
    df = pd.read_json(c.path("table.jsonl"), lines=True, dtype=False)
    for n in c.names:
        if c.kinds[n] == "timestamp":
            df[n] = pd.to_datetime(df[n])
    c.frame("pandas: jsonl", df)
    n = duckdb.sql(f"select count(*), count(mean_vec[1]) from read_json('{c.path('table.jsonl')}')").fetchall()[0]
    assert n == (len(c.rows), sum(1 for r in c.rows if r["mean_vec"] and r["mean_vec"][0] is not None)), n
    print("ok duckdb: jsonl")

    for ext in ("csv", "csv.gz", "csv.zst"):
        rel = duckdb.sql(f"select * from read_csv('{c.path('table.' + ext)}', all_varchar=true)")
        rows = []
        for r in rel.fetchall():
            cells = dict(zip(c.names, r))
            for name, v in cells.items():
                if v is None:
                    continue
                if c.kinds[name] in ("array", "map", "boolean", "long"):
                    cells[name] = json.loads(v)
                elif c.kinds[name] == "double" and v not in ("NaN", "Infinity", "-Infinity"):
                    cells[name] = float(v)
            rows.append(cells)
        c.cells(f"duckdb: {ext}", rows)
    c.frame("pandas: csv.gz", pd.read_csv(c.path("table.csv.gz"), parse_dates=[n for n in c.names if c.kinds[n] == "timestamp"]))


def write(folder):
    base = pd.Timestamp("2013-01-05T10:00:00", tz="UTC")
    n = 5000
    df = pd.DataFrame({
        "id": np.arange(n, dtype=np.int64),
        "user_id": pd.Categorical([f"u{i % 4}" for i in range(n)]),
        "event_time": pd.Series([base + pd.Timedelta(seconds=i) for i in range(n)]),
        "small": np.arange(n, dtype=np.int16),
        "ratio": np.arange(n, dtype=np.float32) / 2,
        "label": [None if i % 7 == 0 else i % 2 == 0 for i in range(n)],
    })
    table = pa.Table.from_pandas(df, preserve_index=False)
    table = table.append_column("vec", pa.array([[float(i), None] for i in range(n)], pa.list_(pa.float64(), 2)))
    table = table.append_column("tags", pa.array([[("a", i)] if i % 3 else None for i in range(n)], pa.map_(pa.string(), pa.int64())))
    table = table.append_column("note", pa.array([f"é{i}" for i in range(n)], pa.large_string()))
    table = table.append_column("price", pa.array([decimal.Decimal(i).scaleb(-2) for i in range(n)], pa.decimal128(12, 2)))
    table = table.append_column("inner", pa.array([{"a": i, "b": None} for i in range(n)], pa.struct([("a", pa.int32()), ("b", pa.string())])))
    pa.feather.write_feather(table, f"{folder}/lz4.feather", compression="lz4", chunksize=700)
    pa.feather.write_feather(table, f"{folder}/zstd.arrow", compression="zstd")
    with pa.ipc.new_stream(f"{folder}/stream.arrow", table.schema) as w:
        w.write_table(table, max_chunksize=512)
    view = table.set_column(table.column_names.index("note"), "note", table.column("note").cast(pa.string_view()))
    with pa.ipc.new_file(f"{folder}/views.arrow", view.schema) as w:
        w.write_table(view)
    pa.feather.write_feather(table.select(["id", "user_id", "event_time"]), f"{folder}/v1.feather", version=1)
    df["event_time"] = df["event_time"].map(lambda t: t.isoformat())
    df.to_json(f"{folder}/lines.jsonl.gz", orient="records", lines=True)


if __name__ == "__main__":
    {"check": check, "write": write}[sys.argv[1]](sys.argv[2])
