"""Values of the environment stay out of problems and notes."""

import pytest

from corral.config.redaction import hider

SECRET = "sk-very-secret"
ENV = {"CLOUD_KEY": SECRET, "SHORT_KEY": "abc", "PLACE": "some/long/place", "LEVEL": "info"}


@pytest.mark.parametrize(
    "text",
    [
        "apiKeys: ${env.CLOUD_KEY}",
        "apiKeys: sk-very-secret",
        "peers: {p: {proxy: 'http://h', models: [m], apiKey: ['${env.CLOUD_KEY}']}}",
        "peers: {p: {proxy: '${env.CLOUD_KEY}', models: [m]}}",
        "peers: {p: {proxy: 'http://u:${env.CLOUD_KEY}@h:0/x', models: [m]}}",
        "peers: {p: {proxy: 'http://u:sk-very-secret@h:0/x', models: [m]}}",
        "models: {m: {cmd: 'x ${PORT}', proxy: 'http://u:sk-very-secret@h:0/x'}}",
        "ttl: ${env.CLOUD_KEY}\n${env.CLOUD_KEY}: 3",
        "globalTTL: ${env.CLOUD_KEY}",
        "logLevel: ${env.CLOUD_KEY}",
        "defaultModel: ${env.CLOUD_KEY}",
        "selectors: {s: {strategy: pin, targets: ['${env.CLOUD_KEY}']}}",
        "'${env.CLOUD_KEY}': [\n",
        "defaultModel: '${${env.CLOUD_KEY}}'",
    ],
)
def test_no_problem_shows_a_secret(mistakes, text):
    lines = mistakes(text, env=ENV)
    assert lines
    assert SECRET not in "\n".join(lines)


def test_a_value_is_shown_as_it_was_written(mistakes):
    (line,) = mistakes("globalTTL: ${env.PLACE}", env=ENV)
    assert line == "c.yaml:1:1 globalTTL: must be a whole number, not `${env.PLACE}`"


def test_a_short_word_is_shown_as_it_is(mistakes):
    (line,) = mistakes("globalTTL: ${env.LEVEL}", env=ENV)
    assert line.endswith("not `info`")


def test_unless_its_name_says_that_it_is_a_secret(mistakes):
    (line,) = mistakes("globalTTL: ${env.SHORT_KEY}", env=ENV)
    assert line.endswith("not `${env.SHORT_KEY}`")


def test_no_note_shows_a_secret(loaded):
    config = loaded("globalTTL: 3\nold${env.CLOUD_KEY}: 3", env=ENV, lenient=True)
    assert config.notes
    assert SECRET not in "\n".join(config.notes)


def test_the_longest_value_goes_first():
    env = {"A_KEY": "abc", "B_KEY": "abcdef"}
    hide = hider(["${env.A_KEY} ${env.B_KEY}"], env)
    assert hide("abcdef abc") == "${env.B_KEY} ${env.A_KEY}"


def test_what_is_not_referred_to_is_left_alone():
    assert hider(["nothing"], ENV)(SECRET) == SECRET
