"""What all tests share: in CI, properties are tried on the same examples each time; on a desk on new ones.

`make quick` tries a quarter of the examples.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("ci", derandomize=True)
settings.register_profile("quick", max_examples=25)
if os.environ.get("CI"):
    settings.load_profile("ci")
