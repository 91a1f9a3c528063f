"""Whether white space separates the words of a text."""

from __future__ import annotations

import pytest

from sritool.data.scripts import words_are_separated


@pytest.mark.parametrize(
    ("text", "separated"),
    [
        ("the kettle sings , internationalisation too", True),
        ("чайник поёт каждый вечер", True),
        ("주전자가 저녁마다 노래한다", True),
        ("茶 壶 每天 晚上 唱歌 。", True),
        ("茶壶每天晚上唱歌给大家听。", False),
        ("やかんは毎晩歌います。", False),
        ("กาน้ำร้องเพลงทุกเย็น", False),
        ("iPhone 茶壶每天晚上唱歌给大家听。", False),
        ("", True),
    ],
)
def test_scripts_with_and_without_spaces(text: str, separated: bool) -> None:
    assert words_are_separated(text.split()) is separated
