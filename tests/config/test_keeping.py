"""Conversations, switching, the address: what is checked between keys, and what holds without them."""

import pytest

M = """\
models:
  a: {cmd: "x ${PORT}", aliases: [al]}
  b: {cmd: "x ${PORT}"}
"""
WRONG = {
    "sessions: {store: ''}": "c.yaml:4:12 sessions.store: sessions.store must not be empty",
    "sessions: {importState: ' '}": (
        "c.yaml:4:12 sessions.importState: sessions.importState must not be empty"
    ),
    "store: {path: one.db}\nsessions: {store: one.db}": (
        "c.yaml:5:12 sessions.store: is the file of `store.path`: conversations need one of their own"
    ),
    "sessions: {presets: {'': hello}}": (
        "c.yaml:4:22 sessions.presets.: a preset's name cannot be empty"
    ),
    "sessions: {presets: [hello]}": "c.yaml:4:12 sessions.presets: must be a mapping, not a list",
    "sessions: {mode: alway}": (
        "c.yaml:4:12 sessions.mode: unknown value `alway`; known: header, always; did you mean `always`?"
    ),
    "sessions: {ttl: -1}": "c.yaml:4:12 sessions.ttl: must be at least 0",
    "sessions: {onAbort: forget}": (
        "c.yaml:4:12 sessions.onAbort: unknown value `forget`; known: keep, drop"
    ),
    "sessions: {maxMessages: 0}": "c.yaml:4:12 sessions.maxMessages: must be at least 1",
    "sessions: {maxPromptChars: 1.5}": (
        "c.yaml:4:12 sessions.maxPromptChars: must be a whole number, not `1.5`"
    ),
    "sessions: {maxPromptTokens: many}": (
        "c.yaml:4:12 sessions.maxPromptTokens: must be a whole number, not `many`"
    ),
    "sessions: {budgetMode: llama}": (
        "c.yaml:4:12 sessions.budgetMode: unknown value `llama`; known: auto, exact, estimate"
    ),
    "sessions: {charsPerToken: 0}": "c.yaml:4:12 sessions.charsPerToken: must be more than 0",
    "sessions: {charsPerToken: '4'}": "c.yaml:4:12 sessions.charsPerToken: must be a number, not `4`",
    "sessions: {charsPerToken: .nan}": "c.yaml:4:12 sessions.charsPerToken: must be more than 0",
    "sessions: {systemPolicy: always}": (
        "c.yaml:4:12 sessions.systemPolicy: unknown value `always`; known: default, prepend, replace"
    ),
    "sessions: {parkKV: on}": ("c.yaml:4:12 sessions.parkKV: unknown value `on`; known: auto, off"),
    "sessions: {parkQuota: much}": (
        "c.yaml:4:12 sessions.parkQuota: must be a number of bytes, or a size such as `512MiB`"
    ),
    "sessions: {maxMesages: 3}": (
        "c.yaml:4:12 sessions.maxMesages: unknown key `maxMesages` at sessions; did you mean `maxMessages`?"
    ),
    "switching: {active: aa}": (
        "c.yaml:4:13 switching.active: unknown model `aa`; did you mean `a`?"
    ),
    "switching: {active: far}\npeers: {p: {proxy: 'http://p', models: [far]}}": (
        "c.yaml:4:13 switching.active: `far` is a peer's model: only a model of this machine can be active"
    ),
    "switching: {active: s}\nselectors: {s: {strategy: pin, targets: [a]}}": (
        "c.yaml:4:13 switching.active: `s` is a selector: only a model of this machine can be active"
    ),
    "switching: {drainTimeout: -1}": "c.yaml:4:13 switching.drainTimeout: must be at least 0",
    "switching: {settleTimeout: soon}": (
        "c.yaml:4:13 switching.settleTimeout: must be a number, not `soon`"
    ),
    "switching: {settleMemory: 0}": "c.yaml:4:13 switching.settleMemory: must be at least 1",
    "switching: {settle: on}": (
        "c.yaml:4:13 switching.settle: unknown value `on`; known: auto, off"
    ),
    "switching: {settle: off, settleMemory: 5}": (
        "c.yaml:4:26 switching.settleMemory: says when memory has settled, and `settle: off` that nobody waits for it"
    ),
    "listen: 8080": "c.yaml:4:1 listen: address 8080: missing port in address",
    "listen: '::1:80'": "c.yaml:4:1 listen: address ::1:80: too many colons in address",
    "listen: 127.0.0.1:http": "c.yaml:4:1 listen: address 127.0.0.1:http: invalid port 'http'",
    "defaultModel: activ": ("c.yaml:4:1 defaultModel: unknown model `activ`"),
}


@pytest.mark.parametrize("text", WRONG)
def test_each_mistake_is_one_line(mistakes, text):
    assert mistakes(M + text) == [WRONG[text]]


def test_an_unknown_preset_of_a_model(mistakes):
    text = "models: {a: {cmd: 'x ${PORT}', preset: pirat}}\nsessions: {presets: {pirate: Arr.}}"
    assert mistakes(text) == [
        "c.yaml:1:32 models.a.preset: unknown preset `pirat`; did you mean `pirate`?"
    ]


def test_presets_that_cannot_be_read_are_one_mistake(mistakes):
    text = "models: {a: {cmd: 'x ${PORT}', preset: pirate}}\nsessions: {presets: [pirate]}"
    (line,) = mistakes(text)
    assert line.startswith("c.yaml:2:12 sessions.presets: must be a mapping")


def test_without_a_section_what_is_named_is_kept_and_nothing_is_parked(loaded):
    config = loaded(M)
    assert (config.sessions.mode, config.sessions.park_kv) == ("header", "off")
    assert (config.keeps_responses, config.imports) == (False, None)
    assert (config.switching.active, config.preload, config.listen) == (None, (), None)


def test_an_empty_section_is_one(loaded):
    config = loaded(M + "sessions: {}\n")
    assert (config.sessions.park_kv, config.keeps_responses) == ("auto", True)


def test_the_active_model_is_loaded_at_start_after_all_others(loaded):
    config = loaded(M + "switching: {active: al}\nhooks: {on_startup: {preload: [a, b]}}")
    assert config.switching.active == "a"
    assert config.preload == ("b", "a")


def test_the_default_model_may_be_the_active_one(loaded):
    assert loaded(M + "defaultModel: active").default_model == "active"


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("switching: {settleMemory: 5}", []),
        ("switching: {settle: off, settleTimeout: 0}", []),
        (
            "switching: {settle: auto, settleMemory: 5}",
            ["c.yaml:4 switching.settle: not used: settleMemory says when memory has settled"],
        ),
        (
            "switching: {settleMemory: 5, settleTimeout: 0}",
            ["c.yaml:4 switching.settleTimeout: nobody waits for memory to settle: it is 0"],
        ),
    ],
)
def test_settings_that_have_no_effect_are_told(loaded, text, notes):
    assert list(loaded(M + text).notes) == notes


def test_a_second_file_may_add_presets_but_not_change_one(loaded, mistakes):
    first, other = "sessions: {presets: {p: one}}\n", "sessions: {presets: {q: two}}\n"
    assert loaded(M + first, other).sessions.presets == {"p": "one", "q": "two"}
    (line,) = mistakes(M + first, "sessions: {presets: {p: two}}\n")
    assert 'duplicate sessions.presets "p"' in line
