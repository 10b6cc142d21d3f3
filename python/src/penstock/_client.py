"""The client."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import pyarrow as pa
import pyarrow.ipc

from penstock import _values
from penstock._http import Http, PenstockError

if TYPE_CHECKING:
    import pandas

Instant = Union[str, dt.datetime]
Row = Mapping[str, Any]
Rows = Union[Row, Sequence[Row], pa.Table, "pandas.DataFrame"]
Spine = Union[str, "os.PathLike[str]", pa.Table, "pandas.DataFrame"]


@dataclasses.dataclass(frozen=True)
class Vectors:
    """Looked-up features: one row for each entity, in their order."""

    names: List[str]
    """The features, in order."""
    types: List[str]
    """Their types, as /v1/pipeline names them; empty where they are not known."""
    rows: List[Dict[str, Any]]
    """Values by feature, as Python has them: instants are datetimes, decimals Decimals."""
    status: List[Dict[str, str]]
    """present, null, expired, not_found, before_history or incomplete, by feature."""
    event_time: List[Dict[str, Optional[dt.datetime]]]
    """Of the newest event that each value rests on."""
    as_of: dt.datetime
    """The instant of all rows."""

    def to_arrow(self) -> pa.Table:
        """The values as a table."""
        columns = [pa.array([r[n] for r in self.rows], type=_values.arrow_type(t)) for n, t in zip(self.names, self.types)]
        return pa.table(columns, names=self.names)

    def to_pandas(self) -> "pandas.DataFrame":
        """The values as a data frame; needs pandas."""
        return self.to_arrow().to_pandas()


class Client:
    """A Penstock server.

    What it refuses is raised as PenstockError, with the server's hint; while it is not ready, NotReady. ``timeout`` is for
    each request, in seconds. Safe for use by several threads.
    """

    def __init__(self, url: str = "http://localhost:8080", *, timeout: float = 30.0) -> None:
        self._http = Http(url, timeout)
        self._types: Optional[Dict[str, str]] = None

    def features(
        self,
        entities: Rows,
        *,
        set: Optional[str] = None,
        view: Optional[str] = None,
        features: Optional[Sequence[str]] = None,
        request: Optional[Rows] = None,
        as_of: Instant = "now",
    ) -> Vectors:
        """Look features up: a set, a view, or dotted features alone; beside a set or view, features chooses.

        entities are mappings with every key column (or one, or a table of them), request the same for the
        request columns of a set. as_of is "now", "latest", or an instant with a time zone.
        """
        body: Dict[str, Any] = {"entities": _rows(entities), "as_of": _values.to_json(as_of)}
        body.update(_selection(set, view, features))
        if request is not None:
            body["request"] = _rows(request)
        answer = self._http.json("POST", "/v1/features", body=body)
        names: List[str] = answer["features"]
        types = [self._type(set, view, features, i, n) for i, n in enumerate(names)]
        return Vectors(
            names=names,
            types=types,
            rows=[{n: _values.from_json(v, t) for n, v, t in zip(names, r["values"], types)} for r in answer["rows"]],
            status=[dict(zip(names, r["status"])) for r in answer["rows"]],
            event_time=[{n: _values.instant(t) for n, t in zip(names, r["event_time"])} for r in answer["rows"]],
            as_of=_values.instant(answer["as_of"]),
        )

    def export(
        self,
        spine: Optional[Spine] = None,
        *,
        set: Optional[str] = None,
        view: Optional[str] = None,
        features: Optional[Sequence[str]] = None,
        export: Optional[str] = None,
        spine_time: Optional[str] = None,
        as_served: bool = False,
        with_status: bool = False,
        fast: bool = False,
        out: Optional[Union[str, "os.PathLike[str]"]] = None,
        progress: Optional[Callable[[Dict[str, Any]], None]] = None,
    ) -> Union[pa.Table, Dict[str, pa.Table], None]:
        """A training table: the rows of the spine with features as of each row's instant.

        spine is a table, a data frame, or the path of a file of any format that `penstock export` reads; export names one
        that the pipeline declares (then spine is its file, if it has one). With out, the table is written to that file in the
        format of its name, and not returned. Of an export whose split writes files it is a dict of tables by part, or with out a
        file for each, as training.train.parquet of training.parquet. progress is called about every second with what
        GET /v1/exports/ID answers. If it or the wait is interrupted, the export is cancelled.
        """
        if export is not None and (set is not None or view is not None or features is not None):
            raise ValueError("give export, or set, view or features")
        query = {"out": os.path.basename(os.fspath(out)) if out is not None else "table.arrow"}
        if export is not None:
            query["export"] = export
        else:
            query.update({k: v if isinstance(v, str) else ",".join(v) for k, v in _selection(set, view, features).items()})
        for name, given in (("as_served", as_served), ("with_status", with_status), ("fast", fast)):
            if given:
                query[name] = "true"
        if spine_time is not None:
            query["spine_time"] = spine_time
        job = self._start(spine, query)
        try:
            while job["state"] == "running":
                if progress is not None:
                    progress(job)
                wait = 1 if progress is not None else 30
                job = self._http.json("GET", f"/v1/exports/{job['id']}", {"wait": f"{wait}s"}, timeout=self._http.timeout + wait)
            if job["state"] != "done":
                e = job.get("error") or {}
                raise PenstockError(400, e.get("code", job["state"]), e.get("message", f"the export was {job['state']}"), e.get("hint", ""), e.get("at", ""))
            return self._take(job, out)
        finally:
            self._http.open("DELETE", f"/v1/exports/{job['id']}").close()

    def explain(
        self,
        feature: str,
        entity: Row,
        *,
        set: Optional[str] = None,
        view: Optional[str] = None,
        request: Optional[Row] = None,
        as_of: Instant = "now",
        as_served: bool = False,
        limit: int = 100,
        below: bool = False,
    ) -> Dict[str, Any]:
        """What one value rests on, as /v1/explain answers it (docs/explain.md)."""
        body: Dict[str, Any] = {
            "feature": feature, "entity": _row(entity), "as_of": _values.to_json(as_of), "as_served": as_served, "limit": limit, "below": below,
        }
        body.update(_selection(set, view, None) if set or view else {})
        if request is not None:
            body["request"] = _row(request)
        answer: Dict[str, Any] = self._http.json("POST", "/v1/explain", body=body)
        return answer

    def pipeline(self) -> Dict[str, Any]:
        """What runs, as /v1/pipeline answers it."""
        answer: Dict[str, Any] = self._http.json("GET", "/v1/pipeline")
        return answer

    def _start(self, spine: Optional[Spine], query: Dict[str, str]) -> Dict[str, Any]:
        body: Any = b""
        size: Optional[int] = 0
        if isinstance(spine, (str, os.PathLike)):
            path = os.fspath(spine)
            query["spine"] = os.path.basename(path)
            body = open(path, "rb")
            size = os.fstat(body.fileno()).st_size
        elif spine is not None:
            query["spine"] = "spine.arrow"
            sink = io.BytesIO()
            table = spine if isinstance(spine, pa.Table) else pa.Table.from_pandas(spine, preserve_index=False)
            with pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
            body = sink.getvalue()
            size = len(body)
        try:
            with self._http.open("POST", "/v1/exports", query, body, size, "application/octet-stream") as response:
                job: Dict[str, Any] = json.load(response)
                return job
        finally:
            if hasattr(body, "close"):
                body.close()

    def _take(self, job: Dict[str, Any], out: Optional[Union[str, "os.PathLike[str]"]]) -> Union[pa.Table, Dict[str, pa.Table], None]:
        files = job["files"]
        if out is not None:
            folder = os.path.dirname(os.fspath(out))
            self._write([(f["url"], os.path.join(folder, os.path.basename(f["name"]))) for f in files])
            return None
        tables = []
        for f in files:
            with self._http.open("GET", f["url"]) as response:
                tables.append(pa.ipc.open_file(pa.py_buffer(response.read())).read_all())
        parts = job["report"].get("parts") or []
        if not any(p.get("out") for p in parts):
            return tables[0]
        return {p["name"]: t for p, t in zip(parts, tables)}

    def _write(self, files: Sequence[Tuple[str, str]]) -> None:
        """Writes files; none has its name before all of them are there."""
        try:
            for url, path in files:
                with self._http.open("GET", url) as response, open(path + ".part", "wb") as f:
                    shutil.copyfileobj(response, f, 1 << 20)
            for _, path in files:
                os.replace(path + ".part", path)
        except BaseException:
            for _, path in files:
                if os.path.exists(path + ".part"):
                    os.remove(path + ".part")
            raise

    def _type(self, set: Optional[str], view: Optional[str], features: Optional[Sequence[str]], i: int, name: str) -> str:
        if self._types is None:
            types: Dict[str, str] = {}
            p = self.pipeline()
            for v in p["views"]:
                types.update({f"view {v['name']}.{f['name']}": f["type"] for f in v["features"]})
            for s in p["sets"]:
                types.update({f"set {s['name']}.{f['name']}": f["type"] for f in s["features"]})
            self._types = types
        if set is not None:
            key = f"set {set}.{name}"
        elif view is not None:
            key = f"view {view}.{name}"
        else:
            key = f"view {features[i]}" if features else ""
        return self._types.get(key, "")


def _selection(set: Optional[str], view: Optional[str], features: Optional[Sequence[str]]) -> Dict[str, Any]:
    if isinstance(features, str):
        raise TypeError("features is a list of names")
    out: Dict[str, Any] = {}
    if set is not None:
        out["set"] = set
    if view is not None:
        out["view"] = view
    if features is not None:
        out["features"] = list(features)
    if not out:
        raise ValueError("give set, view or features")
    return out


def _row(row: Row) -> Dict[str, Any]:
    return {k: _values.to_json(v) for k, v in row.items()}


def _rows(rows: Rows) -> List[Dict[str, Any]]:
    if isinstance(rows, Mapping):
        return [_row(rows)]
    if isinstance(rows, pa.Table):
        rows = rows.to_pylist()
    elif hasattr(rows, "to_dict"):  # a data frame
        rows = pa.Table.from_pandas(rows, preserve_index=False).to_pylist()
    return [_row(r) for r in rows]
