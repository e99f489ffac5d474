"""Options of a backend, as they are typed."""

from __future__ import annotations

import pytest

from samplerkit.plugins.option_words import parse_options


def test_options_on_a_command_line_are_toml_or_text() -> None:
    words = ["n=2", "x = 1.5", "on=true", "many=[1, 2]", "where=/a/b=c", 'quoted="2"']
    assert parse_options(words) == {
        "n": 2,
        "x": 1.5,
        "on": True,
        "many": [1, 2],
        "where": "/a/b=c",
        "quoted": "2",
    }


@pytest.mark.parametrize("word", ["n", "=2", "a b=1"])
def test_an_option_without_a_key_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="an option of a backend is written key=value"):
        parse_options([word])
