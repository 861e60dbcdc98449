"""References to objects in the same namespace, and what reading a Secret comes to."""

from dataclasses import dataclass, field

from keeptrusts_operator.api.fields import Fields
from keeptrusts_operator.api.formats import KEY, NAME


@dataclass(frozen=True)
class ConfigMapKeyRef:
    name: str
    key: str


@dataclass(frozen=True)
class SecretKeyRef:
    """The operator reads it only when it is labelled `gateway.keeptrusts.com/readable-by-operator: "true"`."""

    name: str
    key: str


@dataclass(frozen=True)
class Token:
    """What a Secret held. Never shown: not in a repr, so not in a log, a status or a traceback either."""

    value: str = field(repr=False)


@dataclass(frozen=True)
class NotReadable:
    """There is no token that may be used, until a person does what `message` says."""

    message: str


@dataclass(frozen=True)
class Unread:
    """Whether there is one is unknown: the API server did not say."""

    message: str


Credential = Token | NotReadable | Unread
"""What a SecretKeyRef leads to. Without a `Token`, what needed it is Unknown, and `message` says why."""


def parse_config_map_key_ref(fields: Fields, default_key: str) -> ConfigMapKeyRef:
    """`default_key` is the key when none is written."""
    return ConfigMapKeyRef(name=fields.required("name", NAME), key=fields.string("key", default_key, KEY))


def parse_secret_key_ref(fields: Fields) -> SecretKeyRef:
    return SecretKeyRef(name=fields.required("name", NAME), key=fields.required("key", KEY))
