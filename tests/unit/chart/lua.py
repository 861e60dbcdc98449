"""Lua as Argo CD runs it: base and table functions, of `os` only the clock; no strings, no files."""

from __future__ import annotations

from typing import Any

import pytest

BARE = """
getmetatable("").__index = nil
os = { time = function() return 1795489200 end, date = function(_) return "20261124T030000Z" end }
string, io, math, debug, coroutine, python, dofile, loadfile = nil, nil, nil, nil, nil, nil, nil, nil
"""


def run(code: str, obj: dict[str, Any]) -> Any:
    """What a script returns for an object, as plain values."""
    lua51 = pytest.importorskip("lupa.lua51", reason="LUPA IS NOT INSTALLED: `pip install lupa`, it runs Lua 5.1")
    runtime = lua51.LuaRuntime(register_eval=False)
    runtime.execute(BARE)
    runtime.globals()["obj"] = runtime.table_from(obj, recursive=True)
    return _plain(runtime.execute(code), lua51.lua_type)


def _plain(value: Any, lua_type: Any) -> Any:
    if lua_type(value) != "table":
        return value
    items = {k: _plain(v, lua_type) for k, v in value.items()}
    numbered = sorted(items) == list(range(1, len(items) + 1)) if all(isinstance(k, int) for k in items) else False
    return [items[k] for k in sorted(items)] if numbered and items else items
