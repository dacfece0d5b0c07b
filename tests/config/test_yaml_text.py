"""YAML as Go reads it, with a place for everything and every mistake."""

import math

import pytest

from corral.config.document import Place, Source, as_text
from corral.config.yaml_text import DEEPEST, read_yaml, scalar, scalars
from corral.errors import ConfigError


def read(text):
    return read_yaml(Source("c.yaml", text))


def wrong(text):
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    "text", ["no", "yes", "on", "off", "y", "12:30", "2024-01-02", "1_000", "0b1", "1e", "."]
)
def test_what_older_yaml_took_for_something_else_is_text(text):
    assert read(f"k: {text}").data == {"k": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("null", None),
    ],
)
def test_scalars_have_the_types_of_yaml_1_2(text, value):
    assert scalar(text) == value
    assert isinstance(scalar(text), type(value))


def test_not_a_number_is_one():
    assert math.isnan(scalar(".nan"))


@pytest.mark.parametrize("text", ["1.10", "007", "0x1F", "+3", "1e3"])
def test_a_number_remembers_how_it_was_spelled(text):
    assert as_text(scalar(text)) == text


def test_a_number_of_absurd_length_stays_text():
    assert scalar("9" * 5000) == "9" * 5000


@pytest.mark.parametrize("text", ["'1'", '"true"', "!!str 1", "! 1", "|\n  1"])
def test_quoted_tagged_and_block_scalars_are_text(text):
    assert isinstance(read(f"k: {text}\n").data["k"], str)


def test_keys_are_text():
    assert read("1: a\ntrue: b\n~: c\n").data == {"1": "a", "true": "b", "~": "c"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~"])
def test_an_empty_text_is_an_empty_document(text):
    assert read(text).data == {}


def test_a_byte_order_mark_is_not_content():
    assert read("\ufeffa: 1").data == {"a": 1}


def test_every_key_and_item_has_a_place():
    document = read("models:\n  a:\n    aliases:\n      - x\n      - y\n")
    assert document.place(("models", "a")) == Place("c.yaml", 2, 3)
    assert document.place(("models", "a", "aliases", 1)) == Place("c.yaml", 5, 9)


def test_what_has_no_place_has_that_of_its_surroundings():
    document = read("models:\n  a: {}\n")
    assert document.place(("models", "a", "cmd")) == Place("c.yaml", 2, 3)
    assert document.place(("groups",)) == Place("c.yaml", 1, 1)


def test_anchors_and_merge_keys_work():
    document = read("d: &d {a: 1, b: 2}\nx: {<<: *d, b: 3}\ny: {<<: [{a: 0}, *d]}\nz: *d\n")
    assert document.data["x"] == {"b": 3, "a": 1}
    assert document.data["y"] == {"a": 0, "b": 2}
    assert document.data["z"] == {"a": 1, "b": 2}
    assert document.anchors == {"d"}


def test_a_key_whose_anchor_nobody_uses_is_not_marked():
    assert read("d: &d {a: 1}\nmodels: {}\n").anchors == frozenset()


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a: 1\n\tb: 2\n", ["c.yaml:2:1 a tab cannot indent; use spaces"]),
        ("a:\n    b: 1\n  c: 2\n", ["c.yaml:3:3 wrong indentation"]),
        ("a: 1\na: 2\n", ["c.yaml:2:1 a: duplicate key `a`; it is on line 1 already"]),
        (
            "a: {x: 1, x: 2}\nb: {y: 1, y: 2}\n",
            [
                "c.yaml:1:11 a.x: duplicate key `x`; it is on line 1 already",
                "c.yaml:2:11 b.y: duplicate key `y`; it is on line 2 already",
            ],
        ),
        ("a:\n  - b\n c\n", ["c.yaml:3:2 wrong indentation, or a `-` or `:` too many: text"]),
        ("  a: 1\nb: 2\n", ["c.yaml:2:1 wrong indentation"]),
        ("a: 'x\n", ["c.yaml:2:1 the text ends inside quotes"]),
        (
            "a: @x\n",
            ["c.yaml:1:4 found character '@' that cannot start a value: put quotes around it"],
        ),
        ('a: "\\uD800"\n', ["c.yaml:1:4 half a surrogate pair is no character"]),
        ("a: *nope\n", ["c.yaml:1:4 unknown anchor `nope`"]),
        ("a: &a [*a]\n", ["c.yaml:1:8 `a` is used inside itself"]),
        ("a: {<<: 3}\n", ["c.yaml:1:9 a: `<<` takes a mapping, or a list of them"]),
        ("? [a]\n: b\n", ["c.yaml:1:3 a key must be text"]),
        ("a: 1\n---\nb: 2\n", ["c.yaml:2:1 a second document starts; one is read"]),
        ("- a\n", ["c.yaml:1:1 the top level must be a mapping of keys"]),
        ("just text\n", ["c.yaml:1:1 the top level must be a mapping of keys"]),
        (
            "a: b: c\n",
            ["c.yaml:1:5 a `:` does not fit here: wrong indentation or no quotes?"],
        ),
        (
            "a: \x00\n",
            ["c.yaml:1:4 unacceptable character #x0000: special characters are not allowed"],
        ),
    ],
)
def test_a_mistake_is_told_where_it_is(text, lines):
    assert wrong(text) == lines


def test_an_alias_bomb_does_not_go_off():
    levels = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))
    (line,) = wrong(f"a0: &a0 [x]\n{levels}\n")
    assert "anchors unfold to more than" in line


def test_depth_is_bounded():
    (line,) = wrong("a: " + "[" * 5000)
    assert line.endswith(f"nested more than {DEEPEST} deep")


def test_scalars_are_what_is_left_without_comments():
    assert list(scalars(Source("c", "a: b # c\n# d\ne: |\n  # f\n"))) == ["a", "b", "e", "# f\n"]


def test_what_the_parser_trips_over_is_a_mistake_too():
    (line,) = wrong('a: "\\UFFFFFFFF"\n')
    assert line.startswith("c.yaml:1:2 not YAML: ")
