"""References to objects in the same namespace."""

from dataclasses import dataclass

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


def parse_config_map_key_ref(fields: Fields, default_key: str) -> ConfigMapKeyRef:
    """`default_key` is the key when none is written."""
    return ConfigMapKeyRef(name=fields.required("name", NAME), key=fields.string("key", default_key, KEY))


def parse_secret_key_ref(fields: Fields) -> SecretKeyRef:
    return SecretKeyRef(name=fields.required("name", NAME), key=fields.required("key", KEY))
