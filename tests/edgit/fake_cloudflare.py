"""A server on this machine that speaks the part of Cloudflare's KV API that is used, limits included, and can fail.

    with FakeCloudflare() as cloudflare:
        cloudflare.fail(Fault(status=429, headers={"Retry-After": "3"}), on="write")
        kv = cloudflare.kv()

Each fault strikes the next request of its kind, once. `cloudflare.operations` lists what was asked: `("write", 3)` is a
bulk write of three pairs.
"""

from __future__ import annotations

import base64
import json
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ACCOUNT = "0123456789abcdef0123456789abcdef"
NAMESPACE = "fedcba9876543210fedcba9876543210"
TOKEN = "a-token-of-the-tests"

_ROOT = f"/client/v4/accounts/{ACCOUNT}/storage/kv/namespaces/"
_LARGEST_ANSWER = 25 * 1024 * 1024


@dataclass(frozen=True)
class Fault:
    """One way to fail. `done` says whether what was asked is done all the same, before the answer is spoilt."""

    #: Answer with this status, and these headers.
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    #: Answer after the client has given up.
    stall: bool = False
    #: Close the connection: before the answer, or in the middle of it.
    drop: bool = False
    cut: bool = False
    #: A whole HTTP answer whose JSON ends in the middle.
    half: bool = False
    #: `"success": false` with 200.
    refused: bool = False
    #: So many keys of a bulk call fail, the last ones.
    keys: int = 0
    #: So many keys are left out of what a bulk get gives.
    omitted: int = 0
    #: A value that is no text.
    garbled: bool = False
    done: bool = False


class FakeCloudflare:
    """The server, running inside `with`. `data` is key → (value, metadata), and may be set by hand."""

    def __init__(self) -> None:
        self.data: dict[str, tuple[str, object]] = {}
        self.operations: list[tuple[str, int]] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.ended = threading.Event()
        self._faults: deque[tuple[str | None, Fault]] = deque()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"fake": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """What `CLOUDFLARE_BASE_URL` is to be."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/client/v4"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of somebody who publishes here."""
        return {
            "CLOUDFLARE_BASE_URL": self.url,
            "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
            "CLOUDFLARE_KV_NAMESPACE_ID": NAMESPACE,
            "CLOUDFLARE_API_TOKEN": TOKEN,
        }

    def __enter__(self) -> FakeCloudflare:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.ended.set()
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def fail(self, *faults: Fault, on: str | None = None) -> None:
        """Let the next requests fail, one each; `on` is an operation: get, write, delete, list, value, metadata."""
        self._faults.extend((on, fault) for fault in faults)

    def fault(self, operation: str) -> Fault:
        """The fault that strikes this request; one without faults for none."""
        with self.lock:
            for position, (on, fault) in enumerate(self._faults):
                if on in (None, operation):
                    del self._faults[position]
                    return fault
        return Fault()

    @property
    def unstruck(self) -> int:
        """How many faults are still to come."""
        return len(self._faults)


class _Handler(BaseHTTPRequestHandler):
    fake: FakeCloudflare
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is the test's."""

    def do_GET(self) -> None:
        self._handle()

    def do_PUT(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.fake.headers.append({name.lower(): value for name, value in self.headers.items()})
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self._refuse(403, 10000, "Authentication error")
        url = urlsplit(self.path)
        if not url.path.startswith(f"{_ROOT}{NAMESPACE}/"):
            return self._refuse(404, 10013, "namespace not found")
        place, _, key = url.path.removeprefix(f"{_ROOT}{NAMESPACE}/").partition("/")
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        match (self.command, place, key):
            case ("POST", "bulk", "get"):
                return self._get(json.loads(body))
            case ("POST", "bulk", "delete"):
                return self._delete(json.loads(body))
            case ("PUT", "bulk", ""):
                return self._write(json.loads(body))
            case ("GET", "keys", ""):
                return self._list(query)
            case ("GET", "values" | "metadata", _):
                return self._one(place, unquote(key))
        return self._refuse(405, 10405, f"{self.command} {self.path} is not spoken here")

    def _get(self, asked: dict[str, Any]) -> None:
        keys = asked["keys"]
        fault = self._begin("get", len(keys))
        if not 0 < len(keys) <= 100:
            return self._refuse(400, 10029, "a bulk get takes 1 to 100 keys")
        assert asked["type"] == "text"
        assert asked["withMetadata"] is True
        values: dict[str, object] = {}
        with self.fake.lock:
            for key in keys:
                found = self.fake.data.get(key)
                values[key] = None if found is None else {"value": found[0], "metadata": found[1]}
        if fault.garbled:
            values = {key: {"value": 42, "metadata": None} for key in keys}
        for key in keys[: fault.omitted]:
            del values[key]
        if sum(len(str(value)) for value in values.values()) > _LARGEST_ANSWER:
            return self._refuse(413, 10413, "the values are too large for one answer")
        return self._answer({"values": values}, fault)

    def _write(self, pairs: list[dict[str, Any]]) -> None:
        fault = self._begin("write", len(pairs))
        if len(pairs) > 10_000:
            return self._refuse(400, 10030, "a bulk write takes 10,000 pairs")
        for pair in pairs:
            metadata = json.dumps(pair.get("metadata"), separators=(",", ":"), ensure_ascii=False)
            if not 0 < len(pair["key"].encode()) <= 512 or len(metadata.encode()) > 1024:
                return self._refuse(400, 10031, f"the key or its metadata is too long: {pair['key'][:50]}")
            if len(pair["value"].encode()) > 25 * 1024 * 1024:
                return self._refuse(400, 10033, "the value is too large")
        failed = [pair["key"] for pair in pairs[len(pairs) - fault.keys :]]
        if self._does(fault):
            with self.fake.lock:
                for pair in pairs:
                    if pair["key"] not in failed:
                        self.fake.data[pair["key"]] = (pair["value"], pair.get("metadata"))
        return self._answer({"successful_key_count": len(pairs) - len(failed), "unsuccessful_keys": failed}, fault)

    def _delete(self, keys: list[str]) -> None:
        fault = self._begin("delete", len(keys))
        failed = keys[len(keys) - fault.keys :]
        if self._does(fault):
            with self.fake.lock:
                for key in keys:
                    if key not in failed:
                        self.fake.data.pop(key, None)
        return self._answer({"successful_key_count": len(keys) - len(failed), "unsuccessful_keys": failed}, fault)

    def _list(self, query: dict[str, str]) -> None:
        fault = self._begin("list", 1)
        limit = int(query.get("limit", "1000"))
        if not 10 <= limit <= 1000:
            return self._refuse(400, 10032, "the limit is 10 to 1000")
        with self.fake.lock:
            known = sorted(key for key in self.fake.data if key.startswith(query.get("prefix", "")))
            start = int(base64.b64decode(query["cursor"])) if "cursor" in query else 0
            page = known[start : start + limit]
            listed = [
                {"name": key, **({"metadata": self.fake.data[key][1]} if self.fake.data[key][1] is not None else {})}
                for key in page
            ]
        more = base64.b64encode(str(start + limit).encode()).decode() if start + limit < len(known) else ""
        return self._answer(listed, fault, {"count": len(page), "cursor": more})

    def _one(self, place: str, key: str) -> None:
        fault = self._begin("value" if place == "values" else place, 1)
        found = self.fake.data.get(key)
        if found is None:
            return self._refuse(404, 10009, "key not found")
        if place == "metadata":
            return self._answer(found[1], fault)
        return self._send(200, found[0].encode(), "application/octet-stream", fault)

    def _begin(self, operation: str, count: int) -> Fault:
        with self.fake.lock:
            self.fake.operations.append((operation, count))
        return self.fake.fault(operation)

    def _does(self, fault: Fault) -> bool:
        fails = fault.status or fault.stall or fault.drop or fault.cut or fault.half or fault.refused
        return fault.done or not fails

    def _refuse(self, status: int, code: int, message: str) -> None:
        answer = {"success": False, "errors": [{"code": code, "message": message}], "messages": [], "result": None}
        self._send(status, json.dumps(answer).encode(), "application/json", Fault())

    def _answer(self, result: object, fault: Fault, info: object = None) -> None:
        answer = {"success": True, "errors": [], "messages": [], "result": result}
        if info is not None:
            answer["result_info"] = info
        if fault.refused or fault.status:
            answer |= {"success": False, "errors": [{"code": 10001, "message": "it broke"}], "result": None}
        self._send(200, json.dumps(answer).encode(), "application/json", fault)

    def _send(self, status: int, body: bytes, kind: str, fault: Fault) -> None:
        if fault.stall:
            self.fake.ended.wait(5)
            self.close_connection = True
            return
        if fault.drop:
            self.close_connection = True
            return
        if fault.half:
            body = body[: len(body) // 2]
        self.send_response_only(fault.status or status)
        headers = {"Date": self.date_time_string(), "Content-Type": kind, "Content-Length": str(len(body))}
        for name, value in (headers | fault.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault.cut else body)
        self.close_connection = fault.cut
