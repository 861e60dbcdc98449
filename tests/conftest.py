"""What holds for all tests.

Property tests try the same examples in every run, as slow as the machine is; `--hypothesis-profile=search` tries others.
"""

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile("same")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What is missing on this machine is said once, where everybody looks; a skip alone is a dot among dots."""
    missing: dict[str, set[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr[2]).removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        if " IS NOT " in reason:
            missing.setdefault(reason, set()).add(report.nodeid.partition("::")[0])
    for reason, files in sorted(missing.items()):
        terminalreporter.write_line(f"NOT TESTED: {reason} ({', '.join(sorted(files))})", red=True)
