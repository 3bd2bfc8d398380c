"""Our zips are what the standard library and ``unzip``'s readers take for zips."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uaitrain.files import stored_zip
from uaitrain.files.stored_zip import stored

NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\/:"), min_size=1
)


@given(st.dictionaries(NAMES, st.binary(max_size=300), max_size=8))
def test_what_goes_in_comes_out(files: dict[str, bytes]) -> None:
    made = stored(files)

    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == list(files)
        assert {name: archive.read(name) for name in files} == files
        for each in archive.infolist():
            assert each.date_time == (1980, 1, 1, 0, 0, 0)
            assert each.compress_type == zipfile.ZIP_STORED
            assert each.external_attr >> 16 == 0o100644
    assert stored(files) == made


def test_python_runs_it(tmp_path: Path) -> None:
    path = tmp_path / "program.pyz"
    path.write_bytes(stored({"__main__.py": b"import part; print(part.x)", "part.py": b"x = 7"}))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)

    assert done.stdout == "7\n"


def test_what_a_plain_zip_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="too much for a plain zip"):
        stored({"n" * 70_000: b""})
    monkeypatch.setattr(stored_zip, "_MOST", 2)
    with pytest.raises(ValueError, match="too much"):
        stored({"a": b"", "b": b"", "c": b""})
