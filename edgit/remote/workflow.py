"""Starting the workflow that publishes, where GitHub would not start it by itself.

GitHub starts nothing for a push of more than three tags, nor for one made with a workflow's own token. So where the
setting `edgit.workflow` names a workflow file and GITHUB_TOKEN is there, a push starts that workflow on the default
branch.
"""

from __future__ import annotations

import os
import re

import httpx

from edgit.git.process import Git

_OWNER = re.compile(r"github\.com[:/](?P<owner>[^/]+)/(?P<name>[^/]+?)(?:\.git)?/?$")
_TIMEOUT = 10.0


def dispatch(git: Git) -> str | None:
    """Start the workflow; what to say about it, or None where none is named. Never raises: the push is done already."""
    workflow = git.config("edgit.workflow")
    if not workflow:
        return None
    token = os.environ.get("GITHUB_TOKEN") or os.environ.get("GH_TOKEN")
    by_hand = f"start it by hand: gh workflow run {workflow}"
    repository = os.environ.get("GITHUB_REPOSITORY") or _repository(git)
    if not token:
        return f"the workflow {workflow} was not started, since GITHUB_TOKEN is not set; {by_hand}"
    if not repository:
        return f"the workflow {workflow} was not started: the remote is not at GitHub; {by_hand}"
    base = os.environ.get("GITHUB_API_URL", "https://api.github.com")
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
    try:
        with httpx.Client(base_url=base, headers=headers, timeout=_TIMEOUT) as client:
            found = client.get(f"/repos/{repository}")
            found.raise_for_status()
            branch = found.json()["default_branch"]
            client.post(
                f"/repos/{repository}/actions/workflows/{workflow}/dispatches", json={"ref": branch}
            ).raise_for_status()
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return f"the workflow {workflow} was not started ({type(error).__name__}: {error}); {by_hand}"
    return f"started the workflow {workflow} on {branch}"


def _repository(git: Git) -> str | None:
    remote = git.remote()
    found = _OWNER.search(git.config(f"remote.{remote}.url") or "") if remote else None
    return f"{found['owner']}/{found['name']}" if found else None
