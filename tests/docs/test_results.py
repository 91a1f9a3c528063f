"""The tables of results/README.md, against what `sritool reproduce page` makes of the files beside it."""

from __future__ import annotations

from pathlib import Path

from sritool.cli.reproduction.page import BEGIN, END, page_of

RESULTS = Path(__file__).parents[2] / "results"


def test_page_is_up_to_date() -> None:
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    written = text.partition(BEGIN)[2].partition(END)[0]
    command = "sritool reproduce page --write results/README.md"
    made = f"\n\n{page_of(RESULTS / 'reproduction', 'reproduction')}"
    assert written == made, f"results/README.md is out of date; run: {command}"


def test_files_name_no_folder_of_their_machine() -> None:
    for path in (RESULTS / "reproduction").glob("*.*"):
        if path.suffix in (".json", ".tsv", ".md"):
            text = path.read_text(encoding="utf-8")
            assert not any(word in text for word in ("/home/", "/root/", "/work/", "/tmp/", "--data-dir")), (
                path.name
            )
