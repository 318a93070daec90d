"""Where the console script begins: next to nothing is imported before Ctrl-C is answered.

Rules:

- until a command begins nothing has been changed, so Ctrl-C ends the process at once, with one line and exit code 130;
- from then on it is a KeyboardInterrupt, and the command says what it has done;
- once the command has ended only tidying up is left, and its own exit code stands.
"""

from __future__ import annotations

import os

#: The exit code that shells have for a command that Ctrl-C ended.
STOPPED = 130


def stop_at_once(*_: object) -> None:
    """End without a word of Python's: nothing has been done yet."""
    os.write(2, b"stopped\n")
    os._exit(STOPPED)


def main() -> None:
    """The command, from its first import to its last byte."""
    code = 0
    try:
        import signal  # noqa: PLC0415

        signal.signal(signal.SIGINT, stop_at_once)
        from edgit.cli import main as command  # noqa: PLC0415

        try:
            command()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    except KeyboardInterrupt:
        stop_at_once()
    raise SystemExit(code)


if __name__ == "__main__":
    main()
