"""docs/from-hotmodel.md against hotmodel's format itself: every key is there, none that is none."""

import re
from pathlib import Path

from pydantic import BaseModel

from corral.config.formats.hotmodel_file import HotFile, Model

PAGE = (Path(__file__).parents[2] / "docs" / "from-hotmodel.md").read_text(encoding="utf-8")
KEYS = PAGE[PAGE.index("## Keys of the TOML") : PAGE.index("## The INI")]
ROW = re.compile(r"^\| `([^`]+)` \| (same|better|differs) \| (.*?) ?\|$", re.MULTILINE)


def keys():
    for table, row in HotFile.model_fields.items():
        if isinstance(row.annotation, type) and issubclass(row.annotation, BaseModel):
            yield from (f"{table}.{key}" for key in row.annotation.model_fields)
    yield from (f"models.M.{key}" for key in Model.model_fields)


def test_every_line_of_the_table_is_understood():
    lines = [line for line in KEYS.splitlines() if line.startswith("| `")]
    assert [line for line in lines if not ROW.fullmatch(line)] == []


def test_every_key_is_on_the_page_once():
    assert sorted(found[0] for found in ROW.findall(KEYS)) == sorted(keys())


def test_what_differs_says_how():
    told = ROW.findall(KEYS)
    assert [key for key, verdict, remark in told if verdict != "same" and not remark] == []
