"""The name that an agent or ensemble says itself: what Conductor calls it by.

A line `name: x` at the beginning of a line is enough, so that a slip further down renames nothing. Any other way of
writing it is left to the YAML reader.
"""

from __future__ import annotations

import re

_LINE = re.compile(r"^(name|ensemble)[ \t]*:(.*)$", re.MULTILINE)
_VALUE = re.compile(r"""[ \t]+(?:"([^"\\]*)"|'([^']*)'|([A-Za-z][\w./-]*))[ \t]*(?:[ \t]#.*)?\r?""")
#: Words that are no text in YAML.
_OTHER = ("true", "false", "null")


def stated_name(text: str, file: str) -> str:
    """The `name:` of a file, else its `ensemble:`. Raises `ValueError` that says why there is none."""
    lines = _LINE.findall(text)
    for key in ("name", "ensemble"):
        values = [value for found, value in lines if found == key]
        read = _VALUE.fullmatch(values[0]) if len(values) == 1 else None
        if read and (read[3] is None or read[3].lower() not in _OTHER):
            return read[1] or read[2] or read[3] or ""
        if values:
            break
    return _read(text, file)


def _read(text: str, file: str) -> str:
    # The YAML reader comes with all that ensembles are read by: most commands never need it.
    from resolver.ensemble import read_yaml  # noqa: PLC0415
    from resolver.errors import InvalidEnsemble  # noqa: PLC0415

    try:
        document = read_yaml(text, file).value
    except InvalidEnsemble as error:
        raise ValueError(f"it cannot be read: {error}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    fields = document if isinstance(document, dict) else {}
    name = fields.get("name", fields.get("ensemble"))
    if name is None:
        raise ValueError("it has no `name:`")
    if not isinstance(name, str):
        raise ValueError(f"its `name:` is no text: {name!r}")
    return name
