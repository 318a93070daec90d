"""Cloudflare's Workers KV, by Cloudflare's official SDK. No other module knows the SDK.

Rules:

- what may pass (429, 5xx, a time-out, a broken connection, half an answer) is asked again, as `RetryPolicy` has it.
  Writing the same twice does no harm;
- what does not pass is `KvFailed` at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from edgit.kv.record import cloudflare_record
from edgit.kv.retry import RetryPolicy, TransientFailure
from edgit.kv.store import KvFailed, KvValue, KvWrite

if TYPE_CHECKING:
    import httpx
    from cloudflare import Cloudflare


T = TypeVar("T")
#: The most that Cloudflare takes in one call: keys to get, keys on a page, pairs to write, and bytes of a body.
_GOT_AT_ONCE = 100
_LISTED_AT_ONCE = 1000
_WRITTEN_AT_ONCE = 10_000
_BODY = 90_000_000


class _TooLarge(Exception):
    """The values that were asked for are too much for one answer."""


class _Fault(msgspec.Struct, frozen=True):
    code: int | None = None
    message: str = ""


class _PageInfo(msgspec.Struct, frozen=True):
    cursor: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    """What encloses every answer of Cloudflare's API."""

    success: bool
    errors: list[_Fault] = []
    result: msgspec.Raw = msgspec.Raw(b"null")
    result_info: _PageInfo | None = None


class _Got(msgspec.Struct, frozen=True):
    value: object
    metadata: object = None


class _BulkGot(msgspec.Struct, frozen=True):
    values: dict[str, _Got | None]


class _BulkDone(msgspec.Struct, frozen=True):
    successful_key_count: float | None = None
    unsuccessful_keys: list[str] | None = None


class _Listed(msgspec.Struct, frozen=True):
    name: str
    metadata: object = None


class CloudflareApi:
    """Cloudflare's API. The SDK makes the requests; answers are decoded here, strictly.

    The SDK's own retries are off (they know nothing of half answers and keys that failed), and so is its decoding: it
    lets pass what does not fit, and takes the text `42` for a number. `hints` say what to do about a status.
    """

    def __init__(
        self, name: str, token: str, *, patience: RetryPolicy | None, timeout: float, hints: Mapping[int, str]
    ) -> None:
        # Imported here: it takes a good part of a second, and no other command needs it.
        import cloudflare  # noqa: PLC0415

        self.name = name
        self._sdk: Any = cloudflare
        self._hints = hints
        self._patience = patience or RetryPolicy()
        self._client: Cloudflare = cloudflare.Cloudflare(api_token=token, max_retries=0, timeout=timeout)
        # Taken from the environment as well, and then sent in place of the token.
        self._client.api_key = self._client.api_email = self._client.user_service_key = None

    def _persist(self, doing: str, ask: Callable[[], T]) -> T:
        return self._patience.persist(self.name, doing, ask)

    def _answer(self, request: Callable[[], Any]) -> _Answer:
        """An answer of the API, whole and successful. Raises `TransientFailure`, `_TooLarge` or `KvFailed`."""
        response = self._response(lambda: request().http_response)
        assert response is not None
        answer: _Answer = _decoded(response.content, _Answer)
        if not answer.success:
            raise TransientFailure(_faults(answer.errors) or "it did not succeed, and said no reason")
        return answer

    def _response(self, request: Callable[[], httpx.Response], *, missing: bool = False) -> httpx.Response | None:
        """A response of 2xx; None for 404 where that means that a key is not there."""
        try:
            return request()
        except self._sdk.APITimeoutError:
            raise TransientFailure("it did not answer in time") from None
        except self._sdk.APIConnectionError as error:
            cause = error.__cause__
            raise TransientFailure(f"the connection failed: {cause or error}") from None
        except self._sdk.APIStatusError as error:
            response: httpx.Response = error.response
        if missing and response.status_code == 404:
            return None
        if response.status_code == 413:
            raise _TooLarge
        said = _said(response)
        if response.status_code in (408, 409, 425, 429) or response.status_code >= 500:
            raise TransientFailure(said, _retry_after(response))
        raise KvFailed(f"{self.name}: {said}", hint=self._hints.get(response.status_code))


class CloudflareKv(CloudflareApi):
    """A namespace of Workers KV."""

    def __init__(
        self, account: str, namespace: str, token: str, *, patience: RetryPolicy | None = None, timeout: float = 30
    ) -> None:
        name = f"Cloudflare KV namespace {namespace}"
        super().__init__(name, token, patience=patience, timeout=timeout, hints=_HINTS)
        self.record = cloudflare_record(namespace)
        self._where: dict[str, Any] = {"namespace_id": namespace, "account_id": account}

    def get_many(self, keys: Sequence[str]) -> dict[str, KvValue | None]:
        found: dict[str, KvValue | None] = dict.fromkeys(keys)
        wanted = list(found)
        for start in range(0, len(wanted), _GOT_AT_ONCE):
            found |= self._get_part(wanted[start : start + _GOT_AT_ONCE])
        return found

    def _get_part(self, keys: list[str]) -> dict[str, KvValue | None]:
        call = self._client.kv.namespaces.with_raw_response.bulk_get
        omitted: set[str] = set()

        def ask() -> dict[str, KvValue | None]:
            nonlocal omitted
            answer = self._answer(lambda: call(**self._where, keys=keys, type="text", with_metadata=True))
            values = _decoded(answer.result, _BulkGot).values
            before, omitted = omitted, {key for key in keys if key not in values}
            if omitted - before:
                # A key that is not there is null. One that is left out may be half an answer: not there if it is again.
                raise TransientFailure(
                    f"the answer left out {len(omitted)} of {len(keys)} keys, such as `{min(omitted)}`"
                )
            return {key: self._entry(key, values.get(key)) for key in keys}

        try:
            return self._persist(f"reading {_many(len(keys), 'key')}", ask)
        except _TooLarge:
            if len(keys) == 1:
                return {keys[0]: self._get_alone(keys[0])}
            half = len(keys) // 2
            return self._get_part(keys[:half]) | self._get_part(keys[half:])

    def _entry(self, key: str, got: _Got | None) -> KvValue | None:
        if got is None:
            return None
        if not isinstance(got.value, str):
            raise KvFailed(f"{self.name} gave something that is no text for `{key}`")
        return KvValue(got.value, got.metadata)

    def _get_alone(self, key: str) -> KvValue | None:
        """By the calls for one key, which have no limit on what they give."""
        namespaces = self._client.kv.namespaces

        def value() -> bytes | None:
            response = self._response(
                lambda: namespaces.values.with_raw_response.get(key, **self._where).http_response, missing=True
            )
            return None if response is None else response.content

        def metadata() -> object:
            answer = self._answer(lambda: namespaces.metadata.with_raw_response.get(key, **self._where))
            return msgspec.json.decode(answer.result)

        found = self._persist(f"reading `{key}`", value)
        if found is None:
            return None
        try:
            text = found.decode()
        except UnicodeDecodeError:
            raise KvFailed(f"{self.name} gave something that is no text for `{key}`") from None
        return KvValue(text, self._persist(f"reading the metadata of `{key}`", metadata))

    def put_many(self, writes: Sequence[KvWrite]) -> None:
        for part in _parts(list({write.key: write for write in writes}.values())):
            self._put_part({write.key: _body(write) for write in part})

    def _put_part(self, bodies: dict[str, Any]) -> None:
        call = self._client.kv.namespaces.with_raw_response.bulk_update
        self._in_bulk(
            "writing", list(bodies), lambda pending: call(**self._where, body=[bodies[key] for key in pending])
        )

    def delete_many(self, keys: Sequence[str]) -> None:
        distinct = list(dict.fromkeys(keys))
        call = self._client.kv.namespaces.with_raw_response.bulk_delete
        for start in range(0, len(distinct), _WRITTEN_AT_ONCE):
            part = distinct[start : start + _WRITTEN_AT_ONCE]
            self._in_bulk("deleting", part, lambda pending: call(**self._where, body=pending))

    def _in_bulk(self, verb: str, keys: list[str], call: Callable[[list[str]], Any]) -> None:
        """Do something for all keys; those that Cloudflare reports as failed are tried again, and only those."""
        pending = keys

        def ask() -> None:
            nonlocal pending
            answer = self._answer(lambda: call(pending))
            done = _decoded(answer.result, _BulkDone | None) or _BulkDone()
            reported = set(done.unsuccessful_keys or ())
            failed = [key for key in pending if key in reported]
            count = done.successful_key_count
            if count is not None and count + len(failed) < len(pending):
                raise TransientFailure(f"only {count:.0f} of {_many(len(pending), 'key')} were accounted for")
            pending = failed
            if failed:
                raise TransientFailure(f"{_many(len(failed), 'key')} failed, such as `{failed[0]}`")

        self._persist(f"{verb} {_many(len(keys), 'key')}", ask)

    def list_keys(self, prefix: str) -> dict[str, object]:
        call = self._client.kv.namespaces.keys.with_raw_response.list
        found: dict[str, object] = {}
        cursors = {""}
        cursor = ""
        while True:
            more: dict[str, Any] = {"cursor": cursor} if cursor else {}

            def ask(more: dict[str, Any] = more) -> tuple[list[_Listed], str]:
                answer = self._answer(lambda: call(**self._where, prefix=prefix, limit=_LISTED_AT_ONCE, **more))
                info = answer.result_info or _PageInfo()
                return _decoded(answer.result, list[_Listed]), info.cursor or ""

            page, cursor = self._persist(f"listing the keys of `{prefix}`", ask)
            found |= {listed.name: listed.metadata for listed in page}
            if not cursor:
                return found
            if cursor in cursors:
                raise KvFailed(f"{self.name} gave the same page of the keys of `{prefix}` twice and never ended")
            cursors.add(cursor)


def _decoded(data: bytes | msgspec.Raw, shape: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TransientFailure(f"half an answer, or another one than was asked for: {error}") from None


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _said(response: httpx.Response) -> str:
    try:
        faults = _faults(msgspec.json.decode(response.content, type=_Answer).errors)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        faults = ""
    status = f"{response.status_code} {response.reason_phrase}".strip()
    return f"{status}: {faults}" if faults else status


def _faults(faults: Sequence[_Fault]) -> str:
    return "; ".join(f"{fault.message[:200]} (code {fault.code})" for fault in faults[:3])


def _retry_after(response: httpx.Response) -> float | None:
    """The seconds of a `Retry-After`, which is a number or a date; the date is taken against the response's own."""
    header = response.headers.get("retry-after", "").strip()
    if not header:
        return None
    try:
        return max(0.0, float(header)) if header[:1].isdigit() else max(0.0, _until(header, response))
    except (TypeError, ValueError):
        return None


def _until(header: str, response: httpx.Response) -> float:
    now = response.headers.get("date")
    start = parsedate_to_datetime(now).timestamp() if now else time.time()
    return parsedate_to_datetime(header).timestamp() - start


def _body(write: KvWrite) -> dict[str, object]:
    body: dict[str, object] = {"key": write.key, "value": write.value}
    if write.metadata is not None:
        body["metadata"] = write.metadata
    if write.expires_after is not None:
        body["expiration_ttl"] = write.expires_after
    return body


def _parts(writes: Sequence[KvWrite]) -> Iterator[list[KvWrite]]:
    """The writes in as few bodies as Cloudflare takes."""
    part: list[KvWrite] = []
    size = 0
    for write in writes:
        length = len(msgspec.json.encode(write)) + 40
        if part and (len(part) == _WRITTEN_AT_ONCE or size + length > _BODY):
            yield part
            part, size = [], 0
        part.append(write)
        size += length
    if part:
        yield part


_TOKEN_HINT = "CLOUDFLARE_API_TOKEN must have `Workers KV Storage: Edit` for the account CLOUDFLARE_ACCOUNT_ID"


_HINTS = {
    400: "check CLOUDFLARE_API_TOKEN, CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_KV_NAMESPACE_ID",
    401: _TOKEN_HINT,
    403: _TOKEN_HINT,
    404: "check CLOUDFLARE_ACCOUNT_ID and CLOUDFLARE_KV_NAMESPACE_ID; `wrangler kv namespace list` lists them",
}
