"""`python -m tests.sim --seed 7 [--mode unhealthy-after:2s]`: one change in the simulated world, with a readable trace."""

from __future__ import annotations

import argparse
import asyncio

from tests.sim.campaign import live
from tests.sim.change import THEN, change_in


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--mode", default="", help="what the changed gateways do: crash, unhealthy-after:2s, crash-after:2s …"
    )
    parser.add_argument("--then", choices=THEN, default="nothing", help="what happens in mid-canary")
    parser.add_argument("--crash-at", type=int, default=0, help="kill the operator at its n-th write")
    parser.add_argument("--before", action="store_true", help="… before the write reaches the API server, not after it")
    parser.add_argument("--world", type=int, help="instead: one world of the campaign, by its seed")
    parser.add_argument("--changes", type=int, default=8, help="in that world (the bench's have 24)")
    arguments = parser.parse_args()
    if arguments.world is not None:
        print("\n".join(asyncio.run(live(arguments.world, arguments.changes)).trace))
        return
    when = "before" if arguments.before else "after"
    world = asyncio.run(change_in(arguments.seed, arguments.mode, arguments.crash_at, when, then=arguments.then))
    print("\n".join(world.trace))


if __name__ == "__main__":
    main()
