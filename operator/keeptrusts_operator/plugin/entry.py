"""Console scripts. What the commands are made of is an extra of the package: without it, a sentence says so."""

from __future__ import annotations

import sys
from importlib.util import find_spec

NEEDED = ("click", "rich")


def main() -> None:
    """`kubectl-keeptrusts`."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        sys.exit(
            f"{' and '.join(missing)} is not installed. Install the plugin: pip install 'keeptrusts-operator[plugin]'"
        )
    from keeptrusts_operator.plugin.app import main as run  # noqa: PLC0415

    run()


def complete() -> None:
    """`kubectl_complete-keeptrusts`."""
    if any(find_spec(name) is None for name in NEEDED):
        sys.exit(1)
    from keeptrusts_operator.plugin.app import complete as run  # noqa: PLC0415

    run()
