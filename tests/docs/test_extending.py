"""The code on the page about extending is as our own checks want it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = [
    block for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) if '"""`' in block
]


@pytest.mark.parametrize("code", FILES, ids=range(len(FILES)))
def test_files_to_save_pass_the_linter(code: str) -> None:
    pytest.importorskip("ruff")
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--stdin-filename", "sritool/cli/commands/example.py", "-"],
        input=code,
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
