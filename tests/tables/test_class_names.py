from __future__ import annotations

from pathlib import Path

import pytest

from purify.errors import InputError
from purify.tables.class_names import read_class_names


def test_numbers_get_their_names(tmp_path: Path) -> None:
    assert read_class_names(tmp_path) is None
    (tmp_path / "labels.csv").write_text('label_id,label\n0,Ada\n2,"Lovelace, B"\n', encoding="utf-8")
    assert read_class_names(tmp_path) == {"0": "Ada", "2": "Lovelace, B"}


def test_a_table_of_other_columns_is_no_list_of_classes(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\n1.jpg,Ada\n", encoding="utf-8")
    assert read_class_names(tmp_path) is None


@pytest.mark.parametrize("rows", ["0,Ada\n0,Bo\n", "0,Ada\n1,Ada\n", "0,\n", "zero,Ada\n"])
def test_ambiguous_lists_are_refused(tmp_path: Path, rows: str) -> None:
    (tmp_path / "labels.csv").write_text(f"label_id,label\n{rows}", encoding="utf-8")
    with pytest.raises(InputError, match="another number and another label"):
        read_class_names(tmp_path)
