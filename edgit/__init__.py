"""The operator's side. pyproject.toml takes the version from here."""

VERSION = "0.1.0"
