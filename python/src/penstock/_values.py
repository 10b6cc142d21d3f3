"""Values of Python as the server's JSON writes them, and back (docs/serving.md, "Types")."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import math
from typing import Any

import pyarrow as pa


def to_json(value: Any) -> Any:
    """A key, a request column or an instant as JSON."""
    if hasattr(value, "as_py"):  # a scalar of pyarrow
        value = value.as_py()
    elif hasattr(value, "item") and not isinstance(value, (bytes, str)):  # a scalar of numpy
        value = value.item()
    if isinstance(value, bool) or value is None or isinstance(value, (int, str)):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return value
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone: give one, like datetime.timezone.utc")
        return value.astimezone(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, dict):
        return {k: to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    raise TypeError(f"{type(value).__name__} cannot be sent: {value!r}")


def instant(text: Any) -> Any:
    """An instant of an answer; None is none."""
    if text is None:
        return None
    return dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=dt.timezone.utc)


def from_json(value: Any, kind: str) -> Any:
    """A value of an answer, by the type that /v1/pipeline tells."""
    kind = kind.rstrip("?")
    if value is None:
        return None
    if " of " in kind:
        outer, _, inner = kind.partition(" of ")
        if isinstance(value, dict):
            return {k: from_json(v, inner) for k, v in value.items()}
        return [from_json(v, inner) for v in value]
    if kind == "double" and isinstance(value, str):
        return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}[value]
    if kind == "double":
        return float(value)
    if kind == "timestamp":
        return instant(value)
    if kind == "date":
        return dt.date.fromisoformat(value)
    if kind == "bytes":
        return base64.b64decode(value)
    if kind.startswith("decimal"):
        return decimal.Decimal(value)
    return value


def arrow_type(kind: str) -> Any:
    """The type of an Arrow column; None: pyarrow tells by the values."""
    return {
        "boolean": pa.bool_(), "long": pa.int64(), "double": pa.float64(), "string": pa.string(),
        "bytes": pa.binary(), "date": pa.date32(), "timestamp": pa.timestamp("us", tz="UTC"),
    }.get(kind.rstrip("?"))
