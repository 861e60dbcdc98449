"""`python3 -m standin gateway run --listen 0.0.0.0:41002 --policy-config FILE --fail-mode block`."""

from __future__ import annotations

import argparse
import sys

from aiohttp import web

from standin.policy import ConfigError
from standin.server import Gateway


def main() -> None:
    parser = argparse.ArgumentParser(prog="standin")
    parser.add_argument("words", nargs=2, metavar="gateway run")
    parser.add_argument("--listen", default="0.0.0.0:41002")
    parser.add_argument("--policy-config", required=True)
    parser.add_argument("--fail-mode", choices=["block", "allow"], default="block")
    arguments, unknown = parser.parse_known_args()
    if unknown:
        print(f"ignored: {' '.join(unknown)}", flush=True)
    try:
        gateway = Gateway(arguments.policy_config)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    print(f"Loaded declarative config {gateway.policy.name}@{gateway.policy.version}", flush=True)
    gateway.modes.at_start()
    host, _, port = arguments.listen.rpartition(":")
    # Requests under way are finished on SIGTERM.
    web.run_app(gateway.app(), host=host, port=int(port), access_log=None, print=None, shutdown_timeout=20)


main()
