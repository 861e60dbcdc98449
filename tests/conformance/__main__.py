"""`python -m tests.conformance` (inside a world): plays the script on the real API server and records its answers."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import uuid
from collections.abc import Iterator

from tests.conformance import real, recorded, script


@contextlib.contextmanager
def namespace() -> Iterator[str]:
    """A new one."""
    name = f"conform-{uuid.uuid4().hex[:8]}"
    subprocess.run(["kubectl", "create", "namespace", name], check=True, capture_output=True)
    try:
        yield name
    finally:
        subprocess.run(["kubectl", "delete", "namespace", name, "--wait=false"], check=True, capture_output=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("only", nargs="*", help="cases (default: all)")
    answers = {} if not (only := parser.parse_args().only) else recorded.load()
    for name in only or script.CASES:
        with namespace() as where:
            answers[name] = asyncio.run(real.play(name, where))
        print(name, flush=True)
    recorded.save(answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
