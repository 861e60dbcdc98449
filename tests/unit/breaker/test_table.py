"""The breaker's table in short form: fixed seeds, at least 100 runs of each row; the long one is `make bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import breaker, result
from tests.breaker.__main__ import main
from tests.breaker.table import Row, measure, proven_above, table

ROWS = {row.name: row for row in table()}
# runs of each case: at least 100 of each row
SHORT = {
    "healthy": 12,
    "at-limit": 20,
    "retries": 6,
    "jump": 12,
    "delayed": 4,
    "delayed-45": 25,
    "pooled": 100,
    "pooled-45": 100,
    "bad-45": 100,
    "bad-45-slow": 100,
    "bad-10": 100,
    "bad-45-incident": 100,
}


@pytest.mark.parametrize("name", SHORT)
def test_row_of_the_table(name: str) -> None:
    measured = measure(ROWS[name], SHORT[name])
    assert measured["runs"] >= 100
    assert measured["holds"], {k: v for k, v in measured["cases"].items() if not v["holds"]}


def test_every_row_of_the_specification_has_its_short_form() -> None:
    assert [r.name for r in ROWS.values() if not r.extra] == sorted(SHORT, key=list(ROWS).index)


def test_a_row_is_missed_only_beyond_chance() -> None:
    assert proven_above(1, 2000, 0.0)
    assert not proven_above(0, 2000, 0.0)
    assert not proven_above(3, 2000, 0.001)
    assert proven_above(10, 2000, 0.001)
    assert not measure(Row("never", ROWS["healthy"].cases[:1], median=60.0), 2)["holds"]


def test_the_table_is_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "4", "--row", "bad-45"]) == 0
    speed, row = map(json.loads, capsys.readouterr().out.splitlines())
    assert speed["step_microseconds"] > 0
    assert (row["row"], row["runs"], row["trips"], row["holds"]) == ("bad-45", 4, 4, True)


def test_the_bench_writes_what_was_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result, "FOLDER", tmp_path)
    impossible = Row("bad-45", ROWS["bad-45"].cases, median=0.1)
    monkeypatch.setattr(breaker, "table", lambda: [impossible, Row("easy", ROWS["bad-45"].cases, median=600.0)])
    assert breaker.main(["--runs", "2", "--jobs", "1"]) == 1
    written = json.loads((tmp_path / "breaker.json").read_text())
    assert written["missed"] == ["bad-45"]
    assert [r["row"] for r in written["rows"]] == ["bad-45", "easy"]
    assert written["step_microseconds"] > 0
