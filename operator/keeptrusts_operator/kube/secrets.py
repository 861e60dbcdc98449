"""Secrets that a user names, and only those that carry the label which says that the operator may read them.

Whoever may write a GatewayDeployment may not therefore read Secrets: without the label, a reference would turn the
operator into a courier. RBAC comes on top of it, per namespace (Role `keeptrusts-operator-secrets`).
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from keeptrusts_operator.api.names import LABEL_READABLE
from keeptrusts_operator.api.references import Credential, NotReadable, SecretKeyRef, Token, Unread
from keeptrusts_operator.kube.port import ApiError, Forbidden, NotFound, Obj, Resource

SECRETS = Resource("", "v1", "secrets", "Secret")
ROLE = "keeptrusts-operator-secrets"
KEPT = 30.0  # seconds that a token is used before the Secret is read again
NOT_KEPT = 5.0  # the same for anything but a token: what a person does about it is to be seen soon
MAX_TOKEN = 8192
TOKEN = re.compile(r"[!-~]+")  # what may stand in a header


class Reader(Protocol):
    """The one call of `Kube` that is needed."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        """The object; raises ApiError."""
        ...


@dataclass(frozen=True)
class _Kept:
    credential: Credential
    until: float  # monotonic seconds


class Secrets:
    """Reads tokens for all GatewayDeployments, each at most every 30 s."""

    def __init__(self, kube: Reader, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._kube, self._monotonic = kube, monotonic
        self._kept: dict[tuple[str, str, str, str], _Kept] = {}

    async def read(self, namespace: str, ref: SecretKeyRef, field: str) -> Credential:
        """What `ref` leads to; never raises. `field`: where the user wrote it, e.g.
        `spec.controlPlane.tokenSecretRef`."""
        now = self._monotonic()
        self._kept = {k: v for k, v in self._kept.items() if v.until > now}
        key = (namespace, ref.name, ref.key, field)
        if kept := self._kept.get(key):
            return kept.credential
        credential = await self._read(namespace, ref, field)
        # From before the call: an answer that took long is as old as its question.
        self._kept[key] = _Kept(credential, now + (KEPT if isinstance(credential, Token) else NOT_KEPT))
        return credential

    async def _read(self, namespace: str, ref: SecretKeyRef, field: str) -> Credential:
        try:
            secret = await self._kube.get(SECRETS, namespace, ref.name)
        except NotFound:
            return NotReadable(
                f"{field}: there is no Secret {ref.name}; create it in namespace {namespace} with the label "
                f'{LABEL_READABLE}: "true"'
            )
        except Forbidden:
            return NotReadable(
                f"{field}: the operator may not read Secret {ref.name}; bind Role {ROLE} to its service account in "
                f"namespace {namespace}"
            )
        except ApiError as error:
            return Unread(f"{field}: Secret {ref.name} could not be read ({type(error).__name__} {error.status})")
        return _credential(secret, namespace, ref, field)


def _credential(secret: Obj, namespace: str, ref: SecretKeyRef, field: str) -> Credential:
    if (secret["metadata"].get("labels") or {}).get(LABEL_READABLE) != "true":
        return NotReadable(
            f"{field}: Secret {ref.name} does not say that the operator may read it; if it may: kubectl label --overwrite "
            f"secret {ref.name} -n {namespace} {LABEL_READABLE}=true"
        )
    data = secret.get("data") or {}
    if ref.key not in data:
        return NotReadable(f"{field}: Secret {ref.name} has no key {ref.key}; add it, or name another key")
    try:
        # A file made with `echo` ends in a newline, which no token has.
        text = base64.b64decode(data[ref.key], validate=True).decode("ascii").strip()
    except (binascii.Error, UnicodeDecodeError, TypeError, ValueError):
        text = ""
    if len(text) > MAX_TOKEN or not TOKEN.fullmatch(text):
        return NotReadable(
            f"{field}: key {ref.key} of Secret {ref.name} is no token: it must be one line of at most {MAX_TOKEN} visible "
            "ASCII characters"
        )
    return Token(text)
