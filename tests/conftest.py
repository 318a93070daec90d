"""What all tests share: in CI, properties are tried on the same examples each time; on a desk on new ones.

`make quick` tries a quarter of the examples. No example has a deadline: on a busy machine any takes long once.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("desk", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("quick", deadline=None, max_examples=25)
settings.load_profile("ci" if os.environ.get("CI") else "desk")
