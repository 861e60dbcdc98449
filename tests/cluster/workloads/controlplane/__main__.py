"""`python3 -m controlplane`: port from PORT, the token it wants from CONTROLPLANE_TOKEN (empty: any)."""

from __future__ import annotations

import os

from aiohttp import web

from .server import ControlPlane


def main() -> None:
    plane = ControlPlane(os.environ.get("CONTROLPLANE_TOKEN", ""))
    web.run_app(plane.app(), port=int(os.environ.get("PORT", "8080")), access_log=None, print=None)


main()
