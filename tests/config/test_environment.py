"""`${env.NAME}` in the text."""

import pytest

MODEL = "models: {m: {cmd: 'x ${PORT}'}}\n"


def test_a_reference_takes_the_variables_value(loaded):
    config = loaded(MODEL + 'apiKeys: ["${env.KEY}"]', env={"KEY": "secret"})
    assert config.api_keys == ("secret",)


def test_it_is_replaced_before_the_text_is_read(loaded):
    env = {"KEYS": "a, b", "PORT_": "9000"}
    config = loaded(MODEL + "apiKeys: [${env.KEYS}]\nstartPort: ${env.PORT_}\n", env=env)
    assert config.api_keys == ("a", "b")
    assert config.ports == {"m": 9000}


def test_backslashes_and_quotes_survive_in_double_quotes(loaded):
    env = {"WORD": 'a"b\\c'}
    assert loaded(MODEL + 'apiKeys: ["${env.WORD}"]', env=env).api_keys == ('a"b\\c',)
    assert loaded(MODEL + "apiKeys: ['${env.WORD}']", env=env).api_keys == ('a\\"b\\\\c',)


@pytest.mark.parametrize("env", [{}, {"NOPE": "a\nb"}])
def test_a_comment_may_name_what_cannot_be_had(loaded, env):
    assert loaded("# ${env.NOPE}\n" + MODEL + "apiKeys: [a] # ${env.NOPE}\n", env=env).api_keys == (
        "a",
    )


def test_a_comment_may_name_it_in_toml_too(loaded):
    config = loaded('defaultModel = "m" # ${env.NOPE}\nmodels.m.cmd = "x ${PORT}"\n', name="c.toml")
    assert config.default_model == "m"


def test_a_hash_in_a_block_of_text_is_no_comment(mistakes):
    (line,) = mistakes("models:\n  m:\n    cmd: |\n      x ${PORT}\n      # ${env.NOPE}\n")
    assert line == "c.yaml:5:9 environment variable `NOPE` is not set"


def test_each_reference_that_is_not_set_is_told_with_everything_else(mistakes):
    text = "apiKeys:\n- ${env.A}\n- '${env.B}'\nlogLevel: loud\nstartPort: ${env.C}\n" + MODEL
    assert mistakes(text, env={"B": "x\r"}) == [
        "c.yaml:2:3 environment variable `A` is not set",
        "c.yaml:3:4 environment variable `B` holds newlines, which are not allowed here",
        "c.yaml:4:1 logLevel: unknown value `loud`; known: debug, info, warn, error",
        "c.yaml:5:12 environment variable `C` is not set",
    ]


def test_in_a_text_that_cannot_be_read_they_are_told_too(mistakes):
    assert mistakes("a: ${env.A}\n\tb: # ${env.B}\n") == [
        "c.yaml:1:4 environment variable `A` is not set",
        "c.yaml:2:1 a tab cannot indent; use spaces",
        "c.yaml:2:7 environment variable `B` is not set",
    ]


def test_an_empty_value_is_a_value(mistakes):
    (line,) = mistakes(MODEL + 'apiKeys: ["${env.KEY}"]', env={"KEY": ""})
    assert line.endswith("empty api key found in apiKeys")


def test_in_toml_a_list_may_need_it(mistakes):
    assert mistakes('apiKeys = ["${env.KEY}"] # ${env.NOPE}\n', name="c.toml") == [
        "c.toml:1:13 environment variable `KEY` is not set"
    ]
