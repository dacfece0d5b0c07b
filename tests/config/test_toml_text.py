"""TOML with the same keys."""

import pytest

from corral.config.document import Place, Source
from corral.config.toml_text import read_toml
from corral.errors import ConfigError

TEXT = '''\
startPort = 9000

[models.qwen]
cmd = """
llama-server
ttl = 3
"""
ttl = 60

[models."a/b:1"]
cmd = "x"
env = [
  "A=1",
]

[models.qwen.timeouts]
idle = 5
'''


def test_the_line_is_that_of_the_key():
    document = read_toml(Source("c.toml", TEXT))
    at = {path: place.line for path, place in document.places.items()}
    assert document.data["models"]["qwen"]["ttl"] == 60
    assert at[("models", "qwen")] == 3
    assert at[("models", "qwen", "ttl")] == 8
    assert at[("models", "a/b:1", "env")] == 12
    assert at[("models", "qwen", "timeouts", "idle")] == 17


def test_a_table_in_an_array_has_its_number():
    document = read_toml(Source("c.toml", "[[a]]\nx = 1\n[[a]]\nx = 2\n"))
    assert document.place(("a", 1, "x")) == Place("c.toml", 4, 1)


def test_an_escaped_key_is_found():
    document = read_toml(Source("c.toml", "\"\\u0061b\" = 1\n'c d'.e = 2\n"))
    assert document.place(("ab",)).line == 1
    assert document.place(("c d", "e")).line == 2


def test_dates_are_text():
    assert read_toml(Source("c.toml", "d = 2024-01-02\nt = [12:30:00]")).data == {
        "d": "2024-01-02",
        "t": ["12:30:00"],
    }


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a = \n", "c.toml:1:5"),
        ("a = 1\na = 2\n", "c.toml:2:6"),
        ('a = "x', "c.toml:1:7"),
        ("a = " + "[" * 9000, "c.toml:1:1"),
    ],
)
def test_a_mistake_is_told_where_it_is(text, where):
    with pytest.raises(ConfigError) as caught:
        read_toml(Source("c.toml", text))
    assert str(caught.value).startswith(where + " ")


def test_a_whole_configuration(loaded):
    config = loaded(
        '[models.qwen]\ncmd = ["llama-server", "--port", "${PORT}"]\nttl = 3\n', name="c.toml"
    )
    assert config.models["qwen"].ttl == 3


def test_problems_have_the_keys_line(mistakes):
    text = '[models.qwen]\ncmd = "x --port ${PORT}"\nttl = "3"\ntll = 4\n'
    assert mistakes(text, name="c.toml") == [
        "c.toml:3:1 models.qwen.ttl: must be a whole number, not `3`",
        "c.toml:4:1 models.qwen.tll: unknown key `tll` at models.qwen; did you mean `ttl`?",
    ]
