"""Publishes the files of the project that pages link to although they are not in docs/ (the admission policies, say)."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from properdocs.structure.files import File, Files

LINK = re.compile(r"(\]\()(\.\./[^)#\s]+)")
SOURCE = "source"  # the folder of the site that they are in


def on_files(files: Files, config: Any) -> Files:
    """Add each such file once, under its path in the project."""
    root = Path(config.docs_dir).parent
    for page in list(files.documentation_pages()):
        for _, target in LINK.findall(page.content_string):
            path = _outside(page.src_uri, target)
            if path and (root / path).is_file() and not files.get_file_from_path(f"{SOURCE}/{path}"):
                files.append(File.generated(config, f"{SOURCE}/{path}", abs_src_path=str(root / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point the links there."""

    def moved(match: re.Match[str]) -> str:
        path = _outside(page.file.src_uri, match[2])
        start = posixpath.dirname(page.file.src_uri) or "."
        return match[1] + (posixpath.relpath(f"{SOURCE}/{path}", start) if path else match[2])

    return LINK.sub(moved, markdown)


def _outside(page: str, target: str) -> str:
    """The path in the project of a link's target that is outside of docs/, else nothing."""
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    return "" if path.startswith(("docs/", "..")) else path
