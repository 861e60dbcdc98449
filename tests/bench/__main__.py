"""`make bench`: measures what the docs claim, and writes the numbers to build/bench/<name>.json."""

from __future__ import annotations

import argparse
import sys

from tests.bench import breaker, breaker_live, campaign, disturbed, incident, pages, passthrough, rollout, scale

BENCHES = {
    "rollout": rollout.main,
    "breaker_live": breaker_live.main,
    "disturbed": disturbed.main,
    "passthrough": passthrough.main,
    "breaker": breaker.main,
    "incident": incident.main,
    "campaign": campaign.main,
    "pages": pages.main,
    "scale": scale.main,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("only", nargs="*", choices=[*BENCHES, []], help="which (default: all, some hours)")
    chosen = parser.parse_args().only or list(BENCHES)
    return max(BENCHES[name]([]) for name in chosen)


if __name__ == "__main__":
    sys.exit(main())
