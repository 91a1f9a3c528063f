"""Style of pictures: reproducible files, literal text, and lines that differ without colour."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from sritool.cli.plots.style import check_picture, look, new_canvas, plain, rendered, save, series
from sritool.errors import SritoolError, UsageError

MAGIC = {".png": b"\x89PNG\r\n\x1a\n", ".svg": b"<?xml", ".pdf": b"%PDF-"}


def a_picture(label: str = "a label") -> bytes:
    with look():
        canvas, axes = new_canvas()
        axes.plot([1, 2], [3, 4], label=plain(label), **series(0))
        axes.legend()
    return rendered(canvas, ".svg")


@pytest.mark.parametrize("ending", MAGIC)
def test_same_picture_same_bytes(ending: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        with look():
            canvas, axes = new_canvas()
            axes.plot([1, 2, 3], [2, 1, 4], **series(1))
            axes.set_xlabel("epochs")
        save(canvas, tmp_path / f"{name}{ending}")
    one, other = (tmp_path / f"{name}{ending}" for name in ("a", "b"))
    assert one.read_bytes().startswith(MAGIC[ending])
    assert one.read_bytes() == other.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{ending}", f"b{ending}"]


def test_unwritable_file_is_refused(tmp_path: Path) -> None:
    with look():
        canvas, _ = new_canvas()
    taken = tmp_path / "taken.png"
    (taken / "inside").mkdir(parents=True)
    with pytest.raises(SritoolError, match=r"cannot write .*taken\.png: .*; give another file"):
        save(canvas, taken)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]


@pytest.mark.parametrize("name", ["a.jpg", "picture", "no/such/a.png", "folder.png"])
def test_invalid_picture_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.png").mkdir()
    with pytest.raises(UsageError, match=name):
        check_picture(Path(name))


def test_lines_differ_without_colour() -> None:
    styles = [series(number) for number in range(40)]
    distinct = {(style["marker"], str(style["linestyle"])) for style in styles}
    assert len(distinct) == 40
    for one, other in itertools.pairwise(styles):
        assert all(one[key] != other[key] for key in one)


@pytest.mark.parametrize("name", ["a_run", "_run", "$x$", "cost$", r"100 % \alpha", "<b>&"])
def test_names_are_drawn_literally(name: str) -> None:
    text = a_picture(name).decode()
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert f"{escaped}</text>" in text


def test_user_matplotlib_settings_change_nothing() -> None:
    import matplotlib

    before = a_picture()
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "lines.linewidth": 9}):
        assert a_picture() == before
        assert matplotlib.rcParams["font.size"] == 30
