"""Command text to argv, and what else the host has to know."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.config.command import LaunchSpec, fill, is_llama_server, launch_spec, words


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("a b\tc\nd", ("a", "b", "c", "d")),
        ("a 'b $c \\ d'", ("a", "b $c \\ d")),
        (r'a "b \" \\ \$ \` \x"', ("a", 'b " \\ $ ` \\x')),
        ('a "b\\\nc"', ("a", "b \nc")),
        (r"a\ b \'", ("a b", "'")),
        ("""a'b'"c"d""", ("abcd",)),
        ("a '' \"\"", ("a", "", "")),
        ("a 'b c", ("a", "b c")),
        ('a "b c', ("a", "b c")),
        ("a $HOME ~ * | b > c", ("a", "$HOME", "~", "*", "|", "b", ">", "c")),
        ("a # b", ("a", "#", "b")),
        ("a \\\n  b\\\nc", ("a", "b", "c")),
        ("a \\   \n b", ("a", "b")),
        ("# a\n  # b\nc\n", ("c",)),
        ("", ()),
        (" \n\t", ()),
        ("# only", ()),
    ],
)
def test_words_are_split_as_posix_splits_them(text, argv):
    assert words(text) == argv


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ('"C:\\Program Files\\x.exe" -m', ("C:\\Program Files\\x.exe", "-m")),
        (r'a\b "c\\" d', (r"a\b", "c\\", "d")),
        (r'"a \"b\" c"', ('a "b" c',)),
        (r"a\\b 'c d'", (r"a\\b", "'c", "d'")),
        ('a "" b', ("a", "", "b")),
        ('a "b c', ("a", "b c")),
        ("# a\nb ^\nc", ("b", "^", "c")),
        ("", ()),
    ],
)
def test_windows_has_double_quotes_and_its_backslashes(text, argv):
    assert words(text, windows=True) == argv


def test_a_list_is_taken_as_it_is():
    assert words(["a b", "#c", "'"]) == ("a b", "#c", "'")


PLAIN = st.text(st.characters(exclude_characters="#\\\n", codec="utf-8"), min_size=1)


@given(st.lists(PLAIN, min_size=1))
def test_what_a_shell_would_quote_comes_back(argv):
    assert words(shlex.join(argv)) == tuple(argv)


@given(st.text("ab '\"\\\n\t#$"), st.booleans())
def test_any_text_is_split(text, windows):
    assert all(isinstance(word, str) for word in words(text, windows=windows))


@pytest.mark.parametrize(
    ("program", "known"),
    [
        ("llama-server", True),
        ("/opt/x/llama-server", True),
        ("C:\\x\\llama-server.exe", True),
        ("corral-llama-server", True),
        ("my-llama-server", False),
        ("docker", False),
    ],
)
def test_llama_server_is_known_by_its_name(program, known):
    assert is_llama_server(program) is known


TEXT = """\
startPort: 7000
models:
  full:
    cmd: llama-server -m a.gguf --mmproj b.gguf --port ${PORT} -m
    cmdStop: stop ${PID} ${PORT}
    checkEndpoint: v1/ok/${PORT}
    env: [A=1, B=x=y, A=2, "P=${PORT}"]
    startTimeout: 7
    unloadTimeout: 3
  plain: {cmd: [docker, run, "-m", x], proxy: "http://h:1", checkEndpoint: " none "}
  sock: {cmd: "llama-server --model ${where} --host ${SOCKET}", macros: {where: m.gguf}}
"""


def test_everything_that_a_start_needs(loaded):
    spec = launch_spec(loaded(TEXT), "full")
    assert spec == LaunchSpec(
        model="full",
        argv=("llama-server", "-m", "a.gguf", "--mmproj", "b.gguf", "--port", "${PORT}", "-m"),
        proxy="http://localhost:${PORT}",
        check="/v1/ok/${PORT}",
        stop_argv=("stop", "${PID}", "${PORT}"),
        env={"A": "2", "B": "x=y", "P": "${PORT}"},
        files=("a.gguf", "b.gguf"),
    )
    assert (spec.port, spec.start_timeout, spec.unload_timeout) == (7000, 7, 3)


def test_what_need_not_be(loaded):
    spec = launch_spec(loaded(TEXT), "plain")
    assert (spec.port, spec.check, spec.stop_argv, spec.files, spec.env) == (
        None,
        None,
        None,
        (),
        {},
    )


def test_windows_stops_with_taskkill(loaded):
    spec = launch_spec(loaded(TEXT), "plain", windows=True)
    assert spec.stop_argv == ("taskkill", "/f", "/t", "/pid", "${PID}")


def test_a_starts_port_goes_everywhere(loaded):
    spec = launch_spec(loaded(TEXT), "full").filled(port=7123)
    assert spec.argv[6] == "7123"
    assert spec.proxy == "http://localhost:7123"
    assert spec.check == "/v1/ok/7123"
    assert spec.env["P"] == "7123"
    assert spec.port == 7123
    assert spec.stop_argv == ("stop", "${PID}", "7123")
    assert fill(spec.stop_argv[1], pid=42) == "42"


def test_a_starts_socket_goes_everywhere(loaded):
    spec = launch_spec(loaded(TEXT), "sock")
    assert spec.files == ("m.gguf",)
    filled = spec.filled(socket="/run/s")
    assert (filled.argv[-1], filled.proxy) == ("/run/s", "unix:/run/s")


def test_another_port_or_patience_is_no_reason_to_restart(loaded):
    before = launch_spec(loaded(TEXT), "full")
    after = launch_spec(
        loaded(TEXT.replace("7000", "8000").replace("startTimeout: 7", "startTimeout: 8")), "full"
    )
    other = launch_spec(loaded(TEXT.replace("a.gguf", "c.gguf")), "full")
    assert before == after
    assert before != other


def test_filling_leaves_what_is_not_known():
    assert fill("${PORT} ${SOCKET} ${PID} $PORT", port=1) == "1 ${SOCKET} ${PID} $PORT"
