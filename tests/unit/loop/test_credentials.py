"""Which Secrets of a spec are read, and for what."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace

from keeptrusts_operator.api.deployment import ControlPlane, GatewayDeploymentSpec
from keeptrusts_operator.api.names import LABEL_READABLE
from keeptrusts_operator.api.profiles import KEEPTRUSTS
from keeptrusts_operator.api.references import NotReadable, SecretKeyRef, Token
from keeptrusts_operator.kube.port import NotFound, Obj, Resource
from keeptrusts_operator.kube.secrets import Secrets
from keeptrusts_operator.loop.credentials import Credentials, credentials_of

PLAIN = GatewayDeploymentSpec("support", {})


class Api:
    def __init__(self, **tokens: str) -> None:
        self.tokens, self.read = tokens, list[str]()

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        self.read.append(f"{namespace}/{name}")
        if name not in self.tokens:
            raise NotFound(name, 404)
        data = {"token": base64.b64encode(self.tokens[name].encode()).decode()}
        return {"metadata": {"labels": {LABEL_READABLE: "true"}}, "data": data}


async def known(api: Api, spec: GatewayDeploymentSpec) -> Credentials:
    secrets = Secrets(api)
    credentials_of(secrets, "ns", spec, lambda: None)
    await asyncio.sleep(0.01)
    return credentials_of(secrets, "ns", spec, lambda: None)


async def test_a_spec_that_names_no_secret_has_none_read() -> None:
    api = Api(any="t")
    result = await known(api, PLAIN)
    assert (result, result.named, api.read) == (Credentials(), False, [])


async def test_each_secret_serves_what_names_it() -> None:
    api = Api(pods="for-pods")
    spec = replace(
        PLAIN,
        gateway=replace(KEEPTRUSTS, authorization=SecretKeyRef("pods", "token")),
        control_plane=ControlPlane("https://api.example.com", SecretKeyRef("plane", "token")),
    )
    result = await known(api, spec)
    assert result.named
    assert result.gateway == Token("for-pods")
    assert isinstance(result.control_plane, NotReadable)
    assert result.control_plane.message.startswith("spec.controlPlane.tokenSecretRef: there is no Secret plane")
    assert api.read == ["ns/pods", "ns/plane"]
