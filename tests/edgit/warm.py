"""`edgit` for a script that starts it some hundred times: a process that has imported it, and forks for each command.

    with warm(folder):       # `folder` has an `edgit` for the PATH
        subprocess.run(["bash", "script.sh"], env={"PATH": f"{folder}:…"})

It is `edgit` as a new process is after its imports, with the caller's streams, folder, arguments and environment. The
imports take longer than most commands do; that they succeed is held where edgit is started as a process of its own.
"""

from __future__ import annotations

import importlib
import marshal
import os
import pkgutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgit import commands
from edgit.cli import main

#: What the PATH has: it hands over everything, and exits as it is told to. `-I -S`: it needs nothing but this.
ASKS = """#!{python} -IS
import marshal, os, socket, sys
with socket.socket(socket.AF_UNIX) as there:
    there.connect({address!r})
    socket.send_fds(there, [b"edgit"], [0, 1, 2])
    there.sendall(marshal.dumps((sys.argv[1:], os.getcwd(), dict(os.environ))))
    there.shutdown(socket.SHUT_WR)
    sys.exit(int(there.recv(16) or 1))
"""


@contextmanager
def warm(folder: Path) -> Iterator[None]:
    """Put `edgit` into a folder, and answer it."""
    # Not in that folder: the address of a socket may have some hundred letters at most.
    with tempfile.TemporaryDirectory(prefix="warm-") as near:
        address = f"{near}/socket"
        command = [sys.executable, "-m", "tests.edgit.warm", address]
        with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline() == "ready\n"
                edgit = folder / "edgit"
                edgit.write_text(ASKS.format(python=sys.executable, address=address))
                edgit.chmod(0o755)
                yield
            finally:
                server.terminate()


def serve(address: str) -> None:
    """Fork for each who asks."""
    for module in pkgutil.iter_modules(commands.__path__):
        importlib.import_module(f"edgit.commands.{module.name}")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        print("ready", flush=True)
        children: set[int] = set()
        while True:
            caller, _ = door.accept()
            children -= {child for child in children if os.waitpid(child, os.WNOHANG)[0]}
            child = os.fork()
            if child == 0:
                door.close()
                answer(caller)
                return
            children.add(child)
            caller.close()


def answer(caller: socket.socket) -> None:
    """Be the command that was asked for, to its end."""
    _, streams, _, _ = socket.recv_fds(caller, len(b"edgit"), 3)
    arguments, folder, environment = marshal.loads(b"".join(iter(lambda: caller.recv(65536), b"")))
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    # Anew: those that there are know this process's streams, which may be of another kind.
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    try:
        main(arguments, prog_name="edgit")
    except SystemExit as end:
        sys.stdout.flush()
        sys.stderr.flush()
        caller.sendall(str(end.code).encode())


if __name__ == "__main__":
    serve(sys.argv[1])
