"""Requests to a server, with the standard library."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Any, Mapping, Optional, Union


class PenstockError(Exception):
    """What a server answered instead of a result.

    ``code`` is stable (docs/serving.md lists them), ``message`` is for people, ``hint`` says what to do and ``at``
    where in the request the mistake is; both may be empty. ``status`` is HTTP's.
    """

    def __init__(self, status: int, code: str, message: str, hint: str = "", at: str = "") -> None:
        super().__init__(f"{at}: {message}" if at else message)
        self.status, self.code, self.message, self.hint, self.at = status, code, message, hint, at

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class NotReady(PenstockError):
    """The server cannot answer yet (503): ask again in a moment."""


class Http:
    """One server."""

    def __init__(self, url: str, timeout: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is not the address of a server, like http://localhost:8080")
        self.url, self.timeout = url.rstrip("/"), timeout

    def open(
        self,
        method: str,
        path: str,
        query: Optional[Mapping[str, str]] = None,
        body: Optional[Union[bytes, IO[bytes]]] = None,
        size: Optional[int] = None,
        kind: str = "application/json",
        timeout: Optional[float] = None,
    ) -> Any:
        """The response, to be closed; an error of the server is raised."""
        url = self.url + path + ("?" + urllib.parse.urlencode(query) if query else "")
        headers = {"Content-Type": kind} if body is not None else {}
        if size is not None:
            headers["Content-Length"] = str(size)
        request = urllib.request.Request(url, data=body, method=method, headers=headers)
        try:
            return urllib.request.urlopen(request, timeout=timeout or self.timeout)
        except urllib.error.HTTPError as e:
            with e:
                raise _error(e.code, e.read()) from None

    def json(self, method: str, path: str, query: Optional[Mapping[str, str]] = None, body: Any = None, timeout: Optional[float] = None) -> Any:
        data = None if body is None else json.dumps(body, allow_nan=False).encode()
        with self.open(method, path, query, data, timeout=timeout) as response:
            return json.load(response)


def _error(status: int, body: bytes) -> PenstockError:
    kind = NotReady if status == 503 else PenstockError
    try:
        e = json.loads(body)["error"]
        return kind(status, e["code"], e["message"], e.get("hint", ""), e.get("at", ""))
    except (ValueError, KeyError, TypeError):
        return kind(status, "unknown", f"the answer is {status}, and not from a Penstock server: {body[:200]!r}")
