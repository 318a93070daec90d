"""`make conductor`: a project on Conductor in workerd, with the drop-in, asking the resolver that `make dev` serves.

python -m tests.conductor.serve     PORT (8790), PROJECT (a folder; examples/conductor), RESOLVER (http://127.0.0.1:8787),
                                    CONDUCTOR (sources; without it the miniature)

The model is a stand-in that answers with its system prompt.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.conductor.world import BUILD, EXAMPLE, HERE, MINIATURE, Conductor, bundle, package, service
from tests.edge.workerd.config import script
from tests.edge.workerd.process import until_stopped, workerd


def main() -> None:
    """Serve until a signal comes."""
    project = Path(os.environ.get("PROJECT") or EXAMPLE).resolve()
    sources = Path(os.environ.get("CONDUCTOR") or MINIATURE).resolve()
    url = os.environ.get("RESOLVER") or "http://127.0.0.1:8787"
    port = int(os.environ.get("PORT") or 8790)
    BUILD.mkdir(parents=True, exist_ok=True)
    installed = project / "node_modules/conductor-resolver/dist/index.js"
    resolver = installed if installed.is_file() else package()
    conductor = Conductor("served", sources, project / "src/index.ts", (project,))
    worker = bundle(conductor, "served", conductor.entry.read_text("utf-8"), resolver)
    services = [
        service("conductor", worker, [{"name": "RESOLVER_URL", "text": url}], kv=False),
        {"name": "beside", "worker": script(HERE / "beside.js")},
        {"name": "this-machine", "network": {"allow": ["local", "private"]}},
    ]
    sockets, ports = {"conductor": "conductor"}, {"conductor": port}
    with workerd([], snapshot=False, services=services, sockets=sockets, ports=ports) as process:
        print(f"Conductor answers on {process.urls['conductor']}, and asks {url}", flush=True)
        until_stopped(process)


if __name__ == "__main__":
    main()
