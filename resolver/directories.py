"""The types of components, and the folders that hold them."""

from __future__ import annotations

#: Type of a component → the directory that holds such files, which is also the plural in other writers' KV keys.
DIRECTORIES = {
    "prompt": "prompts",
    "template": "templates",
    "query": "queries",
    "config": "configs",
    "script": "scripts",
    "schema": "schemas",
    "docs": "docs",
    "agent": "agents",
    "ensemble": "ensembles",
}
TYPES = {directory: kind for kind, directory in DIRECTORIES.items()}
