"""Property tests: the same examples in every run, as slow as the machine is. `--hypothesis-profile=search` tries others."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("same")
