"""`python -m tests.tools` builds the tools, and prints where they are."""

from __future__ import annotations

import sys

from tests.cluster.build import Missing
from tests.tools import build


def main() -> int:
    try:
        print("\n".join(map(str, build.build_all())))
    except Missing as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
