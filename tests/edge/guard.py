"""Imports modules and reports whatever randomness, clock or I/O each used: `python -B guard.py FOLDER MODULE…`.

The platform runs the top of the Worker once, at deploy, and forbids all three there. This runs in two places: on
CPython in a process of its own, and in WebAssembly (`import.mjs`, which watches JavaScript's side too). What counts:

- **Randomness and clocks** are calls of C functions, seen by a profiler and so under whatever name they were imported:
  all of `time` but what only describes a clock, `datetime.now` and its like, `os.urandom`, `os.getrandom`, and every
  method of a random generator, seeding included.
- **I/O** is every audit event that is not known to be harmless: sockets, processes, writing, and kinds that are new.
  Files may be read by the import system itself, and where they are the deployment's own: below a folder of `sys.path`.

What a C extension does inside is not seen here; in WebAssembly it goes through JavaScript, and there it is.
"""

from __future__ import annotations

import datetime
import functools
import importlib
import json
import os
import random
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The runtime itself has loaded these, and what they import, before the Worker's first line (test_import.py holds that).
RUNTIME = ("asyncio", "logging", "random", "ssl", "tempfile")
for name in RUNTIME:
    importlib.import_module(name)

#: Audit events that are no I/O: importing, compiling, looking at objects and frames.
HARMLESS = frozenset({"import", "compile", "exec", "marshal.loads", "builtins.id", "sys.setprofile", "gc.get_objects"})
HARMLESS_FAMILIES = ("object.", "code.", "function.", "sys._getframe", "sys._current", "cpython.")
#: Those that say what lies in a folder, with its path first.
LISTING = frozenset({"os.listdir", "os.scandir", "glob.glob", "pathlib.Path.glob"})
#: The functions of `time` that read no clock.
DESCRIBING = frozenset({"get_clock_info", "mktime", "tzset"})
IMPORT_SYSTEM = ("<frozen importlib._bootstrap_external>", "<frozen importlib._bootstrap>", "<frozen zipimport>")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Forbidden(BaseException):
    """What was used and must not be. No `Exception`, so that no module's own `except` swallows it."""


class Watch:
    """Sees what runs between `begin` and `end`. `seen` names what was used, and where, also if it was caught."""

    def __init__(self, folders: list[str]) -> None:
        self.seen: list[str] = []
        self._folders = [Path(folder).resolve() for folder in folders]
        self._on = False
        sys.addaudithook(self._audit)

    def begin(self) -> None:
        self._on = True
        sys.setprofile(self._profile)

    def end(self) -> None:
        sys.setprofile(None)
        self._on = False

    def _refuse(self, what: str, frame: types.FrameType | None) -> None:
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "?"
        self.seen.append(f"{what} at {place}")
        self._on = False  # What runs because of this refusal is not the module's doing.
        raise Forbidden(self.seen[-1])

    def _profile(self, frame: types.FrameType, event: str, called: Any) -> None:
        if event != "c_call" or not self._on:
            return
        name, owner = called.__name__, getattr(called, "__self__", None)
        module = owner.__name__ if isinstance(owner, types.ModuleType) else getattr(called, "__module__", None)
        what = None
        if module == "time" and name not in DESCRIBING:
            what = f"clock: time.{name}"
        elif isinstance(owner, type) and issubclass(owner, datetime.date) and name in ("now", "utcnow", "today"):
            what = f"clock: {owner.__name__}.{name}"
        elif name in ("urandom", "getrandom"):
            what = f"randomness: os.{name}"
        elif module in ("_uuid", "_ssl") and name.startswith(("generate_", "RAND_")):
            what = f"randomness: {module}.{name}"
        elif isinstance(owner, random.Random.__base__):  # type: ignore[arg-type]
            what = f"randomness: Random.{name}"
        if what:
            # A profiler that raises is taken off; the import ends here anyway.
            self._refuse(what, frame)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on or event in HARMLESS or event.startswith(HARMLESS_FAMILIES):
            return
        frame = sys._getframe(1)
        if event == "open":
            path, _, flags = arguments
            if not flags & WRITING and (frame.f_code.co_filename in IMPORT_SYSTEM or self._ours(path)):
                return
        elif event in LISTING and (frame.f_code.co_filename in IMPORT_SYSTEM or self._ours(arguments[0])):
            return
        self._refuse(f"I/O: {event} {arguments!r:.120}", frame)

    def _ours(self, path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        resolved = Path(os.fsdecode(path)).resolve()
        return any(resolved.is_relative_to(folder) for folder in self._folders)


def used_by(load: Callable[[], object], watch: Watch) -> list[str]:
    """What an import uses and must not. A failure of another kind is raised as it is."""
    watch.seen.clear()
    watch.begin()
    try:
        load()
    except Forbidden:
        pass
    finally:
        watch.end()
    return list(watch.seen)


class StandIn(types.ModuleType):
    """A module of the platform where there is none: whatever is asked of it is an empty class."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})


def main(folder: str, *modules: str) -> None:
    """Import modules of a folder, in their order, and print what each used: a JSON object of lists."""
    sys.path[0] = folder
    for name in ("js", "pyodide", "pyodide.ffi", "workers"):
        sys.modules[name] = StandIn(name)
    watch = Watch(sys.path)
    print(json.dumps({name: used_by(functools.partial(importlib.import_module, name), watch) for name in modules}))


if __name__ == "__main__":
    main(*sys.argv[1:])
