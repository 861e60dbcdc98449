"""Secrets that a user names, and only those that carry the label which says that the operator may read them.

Whoever may write a GatewayDeployment may not therefore read Secrets: without the label, a reference would turn the
operator into a courier. RBAC comes on top of it, per namespace (Role `keeptrusts-operator-secrets`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from keeptrusts_operator.api.names import LABEL_READABLE
from keeptrusts_operator.api.references import Credential, NotReadable, SecretKeyRef, Token, Unread
from keeptrusts_operator.kube.port import ApiError, Forbidden, NotFound, Obj, Resource

SECRETS = Resource("", "v1", "secrets", "Secret")
ROLE = "keeptrusts-operator-secrets"
KEPT = 30.0  # seconds for which a token that was read is used
AGAIN, SOON = 15.0, 5.0  # seconds after which it is read again, and the same where there was none to read
MAX_TOKEN = 8192
TOKEN = re.compile(r"[!-~]+")  # what may stand in a header


class Reader(Protocol):
    """The one call of `Kube` that is needed."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        """The object; raises ApiError."""
        ...


Wake = Callable[[], None]


@dataclass
class _Kept:
    """The newest answer and when it was asked for; whether another is under way, and who wants to hear of it. Times in
    monotonic seconds."""

    credential: Credential
    asked: float = -math.inf
    tried: float = -math.inf
    wanted: float = 0.0
    reading: asyncio.Task[None] | None = None
    waiting: list[Wake] = field(default_factory=list)

    def age(self, now: float) -> float:
        return now - self.asked

    def is_due(self, now: float) -> bool:
        """Soon where there is no token, or the last try to read it again was in vain."""
        settled = isinstance(self.credential, Token) and self.tried == self.asked
        return self.reading is None and now - self.tried >= (AGAIN if settled else SOON)


class Secrets:
    """Tokens for all control loops. None of them ever waits for one: a slow Secret may not delay a rollback."""

    def __init__(self, kube: Reader, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._kube, self._monotonic = kube, monotonic
        self._kept: dict[tuple[str, SecretKeyRef, str], _Kept] = {}

    def known(self, namespace: str, ref: SecretKeyRef, where: str, wake: Wake) -> Credential:
        """What `ref` led to at most 30 s ago; never raises, never waits. `where` is the user's field, e.g.
        `spec.controlPlane.tokenSecretRef`.

        Reads it again in the background when it is due, and calls `wake` when that comes to something else. So whoever
        uses a token has to ask again at least every `AGAIN` seconds. Needs a running event loop.
        """
        now, key = self._monotonic(), (namespace, ref, where)
        self._forget_unwanted(now)
        if key not in self._kept:
            self._kept[key] = _Kept(Unread(f"{where}: Secret {ref.name} has not been read yet"))
        kept = self._kept[key]
        kept.wanted = now
        if kept.is_due(now):
            kept.reading = asyncio.create_task(self._renew(kept, namespace, ref, where), name=f"secret {ref.name}")
        if kept.reading is not None:
            kept.waiting.append(wake)
        if isinstance(kept.credential, Token) and kept.age(now) > KEPT:
            return Unread(f"{where}: Secret {ref.name} could not be read for {kept.age(now):.0f} s")
        return kept.credential

    async def _renew(self, kept: _Kept, namespace: str, ref: SecretKeyRef, where: str) -> None:
        kept.tried, before = self._monotonic(), kept.credential
        try:
            credential = await self.read(namespace, ref, where)
        finally:
            kept.reading = None
            waiting, kept.waiting = kept.waiting, []
        if isinstance(credential, Unread) and isinstance(before, Token) and kept.age(kept.tried) <= KEPT:
            return  # what was read a moment ago is still as good
        kept.credential, kept.asked = credential, kept.tried
        if credential != before:
            for wake in waiting:
                wake()

    def _forget_unwanted(self, now: float) -> None:
        for key in [k for k, v in self._kept.items() if v.reading is None and now - v.wanted > 2 * KEPT]:
            del self._kept[key]

    async def read(self, namespace: str, ref: SecretKeyRef, where: str) -> Credential:
        """What `ref` leads to now; never raises."""
        try:
            secret = await self._kube.get(SECRETS, namespace, ref.name)
        except NotFound:
            return NotReadable(
                f"{where}: there is no Secret {ref.name}; create it in namespace {namespace} with the label "
                f'{LABEL_READABLE}: "true"'
            )
        except Forbidden:
            return NotReadable(
                f"{where}: the operator may not read Secret {ref.name}; bind Role {ROLE} to its service account in "
                f"namespace {namespace}"
            )
        except ApiError as error:
            return Unread(f"{where}: Secret {ref.name} could not be read ({type(error).__name__} {error.status})")
        return _credential(secret, namespace, ref, where)


def _credential(secret: Obj, namespace: str, ref: SecretKeyRef, where: str) -> Credential:
    if (secret["metadata"].get("labels") or {}).get(LABEL_READABLE) != "true":
        return NotReadable(
            f"{where}: Secret {ref.name} does not say that the operator may read it; if it may: kubectl label --overwrite "
            f"secret {ref.name} -n {namespace} {LABEL_READABLE}=true"
        )
    data = secret.get("data") or {}
    if ref.key not in data:
        return NotReadable(f"{where}: Secret {ref.name} has no key {ref.key}; add it, or name another key")
    try:
        # A file made with `echo` ends in a newline, which no token has.
        text = base64.b64decode(data[ref.key], validate=True).decode("ascii").strip()
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError):
        text = ""
    if len(text) > MAX_TOKEN or not TOKEN.fullmatch(text):
        return NotReadable(
            f"{where}: key {ref.key} of Secret {ref.name} is no token: it must be one line of at most {MAX_TOKEN} visible "
            "ASCII characters"
        )
    return Token(text)
