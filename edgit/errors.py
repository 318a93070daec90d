"""Every error that the operator's side raises, each one written for the person at the terminal.

Rules:

- `detail` says what was wrong and what exists instead, `hint` is the next command or step;
- an error is raised before anything was changed, or says what was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class EdgitError(Exception):
    """What was wrong, and what to do next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, detail: str, *, hint: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.detail}\n{self.hint}" if self.hint else self.detail


class NotUnderstood(EdgitError):
    """The command is not written as it is now."""

    exit_code = 2


class Refused(EdgitError):
    """The command was understood and not carried out, since it would lose or break something."""

    exit_code = 3


class NotConfirmed(Refused):
    """Protected environments were to be moved and not named once more."""

    def __init__(self, detail: str, environments: Sequence[str]) -> None:
        self.confirm = [word for environment in environments for word in ("--confirm", environment)]
        super().__init__(detail, hint=f"next: the same command with {' '.join(self.confirm)}")


class NotReached(EdgitError):
    """A remote, a KV or a metrics address did not answer as it should."""

    exit_code = 4


class Stopped(EdgitError):
    """Ctrl-C in the middle: what was done, and what is left."""

    exit_code = 130
