"""Which KV a command means: `local`, `local=PATH` or `cloudflare`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from edgit import terminal
from edgit.errors import EdgitError
from edgit.kv.cloudflare import CloudflareKv
from edgit.kv.local import LocalKv
from edgit.kv.record import NAMESPACE, local_path
from edgit.kv.retry import RetryPolicy
from edgit.kv.store import Kv

_VARIABLES = {
    "CLOUDFLARE_ACCOUNT_ID": "the account's id, on the right of Workers & Pages in the dashboard, or `wrangler whoami`",
    "CLOUDFLARE_API_TOKEN": "a token with `Workers KV Storage: Edit` for the account, from My Profile → API Tokens",
    NAMESPACE: "the namespace's id, in wrangler.toml or from `wrangler kv namespace list`",
}


def open_kv(target: str, environment: Mapping[str, str] | None = None) -> Kv:
    """The KV that `target` names: `local` ($KV or .local/kv.sqlite3), `local=PATH`, or `cloudflare`.

    Raises `EdgitError` for another target and for variables that are missing, `KvFailed` for a file that is no KV.
    """
    given = os.environ if environment is None else environment
    if path := local_path(target, given):
        return LocalKv(path)
    if target == "cloudflare":
        return _cloudflare(given)
    raise EdgitError(
        f"`{target}` is no KV{': the file is missing after `=`' if target == 'local=' else ''}",
        hint="it is `local`, `local=PATH` or `cloudflare`",
    )


def _cloudflare(given: Mapping[str, str]) -> CloudflareKv:
    values = {name: given.get(name, "").strip() for name in _VARIABLES}
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise EdgitError(
            f"Cloudflare's KV needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not set",
            hint="\n".join(f"{name}: {_VARIABLES[name]}" for name in missing),
        )
    account, token, namespace = values.values()
    return CloudflareKv(account, namespace, token, patience=RetryPolicy(say=terminal.note))
