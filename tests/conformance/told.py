"""What an API answered, without what differs from run to run: UIDs, times, resourceVersions, messages."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Any

from keeptrusts_operator.kube.port import ApiError, Obj

Answer = dict[str, Any]
ABSENT = "(absent)"


class Said:
    """Called with each call of a case, it writes down the outcome and gives what the call gave."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self._versions: dict[tuple[str, str], str] = {}
        self._uids: dict[str, str] = {}

    async def __call__(self, call: str, doing: Awaitable[Any], *fields: str) -> Obj:
        """`fields` of the object are written down, too. A call that fails gives an empty object."""
        try:
            got = await doing
        except ApiError as error:
            self.answers.append({"call": call, "outcome": f"{type(error).__name__} {error.status}"})
            return {}
        if isinstance(got, Sequence):
            names = sorted(o["metadata"]["name"] for o in got)
            self.answers.append({"call": call, "outcome": "ok", "names": names})
            return {}
        self.answers.append({"call": call, "outcome": "ok", **(self._about(got, fields) if got else {})})
        return got or {}

    def _about(self, obj: Obj, fields: Sequence[str]) -> Answer:
        metadata = obj["metadata"]
        which, version = (obj.get("kind", ""), metadata["name"]), metadata.get("resourceVersion", "")
        known = self._versions.get(which)
        self._versions[which] = version
        about: Answer = {"version": "same" if version == known else "changed" if known else "first"}
        if "generation" in metadata:
            about["generation"] = metadata["generation"]
        return {**about, **{field: self._normal(field_of(obj, field)) for field in fields}}

    def _normal(self, value: Any) -> Any:
        """UIDs become the order in which they were first seen."""
        if isinstance(value, dict):
            return {k: self._uid(v) if k == "uid" else self._normal(v) for k, v in value.items()}
        return [self._normal(v) for v in value] if isinstance(value, list) else value

    def _uid(self, uid: str) -> str:
        return self._uids.setdefault(uid, f"uid {len(self._uids) + 1}")


def field_of(obj: Any, field: str) -> Any:
    """The value at a path like `spec.ports`; of a list, that of every item. A path that ends with `?` asks whether it
    is there."""
    if field.endswith("?"):
        return field_of(obj, field[:-1]) != ABSENT
    for at, part in enumerate(path := field.split(".")):
        if isinstance(obj, list):
            return [field_of(o, ".".join(path[at:])) for o in obj]
        if not isinstance(obj, dict) or part not in obj:
            return ABSENT
        obj = obj[part]
    return obj
