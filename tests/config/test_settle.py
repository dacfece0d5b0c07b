"""Names, globals, rules between keys."""

import pytest


def one(loaded, text, top=""):
    return loaded(f"{top}\nmodels: {{m: {{cmd: 'x ${{PORT}}', {text}}}}}").models["m"]


def wrong(mistakes, text, top=""):
    (line,) = mistakes(f"{top}\nmodels: {{m: {{cmd: 'x ${{PORT}}', {text}}}}}")
    return line


@pytest.mark.parametrize(
    ("top", "own", "ttl"),
    [
        ("", "", 0),
        ("globalTTL: 5", "", 5),
        ("globalTTL: 5", "ttl: 9", 9),
        ("globalTTL: 5", "ttl: 0", 0),
        ("globalTTL: 5", "ttl: -1", 5),
        ("globalTTL: 5", "ttl: ", 5),
    ],
)
def test_a_models_ttl_goes_before_the_global_one(loaded, top, own, ttl):
    assert one(loaded, own, top).ttl == ttl


@pytest.mark.parametrize(
    ("top", "own", "seconds"),
    [
        ("", "", 10),
        ("unloadTimeout: 0", "", 10),
        ("unloadTimeout: 4", "", 4),
        ("unloadTimeout: 4", "unloadTimeout: 2.5", 2.5),
        ("unloadTimeout: 4", "unloadTimeout: 0", 4),
    ],
)
def test_unload_timeout_of_zero_is_none_given(loaded, top, own, seconds):
    assert one(loaded, own, top).unload_timeout == seconds


@pytest.mark.parametrize(
    ("top", "own", "seconds"),
    [
        ("", "", 120),
        ("healthCheckTimeout: 5", "", 5),
        ("healthCheckTimeout: 5", "healthCheckTimeout: 3", 3),
        ("healthCheckTimeout: 5", "startTimeout: 2", 2),
        ("", "startTimeout: 2, healthCheckTimeout: 2", 2),
        ("healthCheckTimeout: 0", "", 120),
        ("healthCheckTimeout: 5", "healthCheckTimeout: 0", 5),
    ],
)
def test_the_start_timeout_has_two_names(loaded, top, own, seconds):
    assert one(loaded, own, top).health_check_timeout == seconds


@pytest.mark.parametrize(("written", "limit"), [(-1, 0), (0, 0), (3, 3)])
def test_a_limit_below_one_is_none(loaded, written, limit):
    assert one(loaded, f"concurrencyLimit: {written}").concurrency_limit == limit


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *((word, True) for word in ("true", "y", "Y", "yes", "on", "'yes'")),
        *((word, False) for word in ("false", "n", "N", "no", "off")),
    ],
)
def test_a_flag_may_be_any_of_gos_words(loaded, word, meant):
    assert one(loaded, f"unlisted: {word}").unlisted is meant
    assert one(loaded, f"name: {word}").name == word.strip("'"), "and text where that is wanted"


def test_a_whole_number_may_have_a_point(loaded):
    assert one(loaded, "ttl: 300.0").ttl == 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "startTimeout: 2, healthCheckTimeout: 3",
            "startTimeout: is another name for healthCheckTimeout, which says otherwise",
        ),
        ("ttl: -2", "ttl: must be at least -1"),
        ("ttl: '3'", "ttl: must be a whole number, not `3`"),
        ("unloadTimeout: -1", "unloadTimeout: must be at least 0"),
        ("parallel: -1", "parallel: must be at least 0"),
        ("unloadTimeout: .nan", "unloadTimeout: must be at least 0"),
        ("unloadTimeout: .inf", "unloadTimeout: must be at most 1e+09"),
        ("unloadTimeout: 5s", "unloadTimeout: must be a number, not `5s`"),
        ("persist: No", "persist: must be true or false, not `No`; write `false`"),
        ("persist: 1", "persist: must be true or false, not `1`"),
        ("aliases: a", "aliases: must be a list, not `a`"),
        ("aliases: [[a]]", "aliases[0]: must be text, not a list"),
        ("name: {}", "name: must be text, not a mapping"),
        ("metadata: 3", "metadata: must be a mapping, not `3`"),
        ("restart: {backoff: []}", "restart.backoff: must not be empty"),
        ("restart: 3", "restart: must be a mapping, not `3`"),
        ("env: [A]", "env[0]: must be NAME=value, not `A`"),
        ("env: [=a]", "env[0]: must be NAME=value, not `=a`"),
        (
            "proxy: 'localhost:1'",
            "proxy: must be http://host:port/path, https://... or unix:/path, not `localhost:1`",
        ),
        (
            "proxy: 'http://h:99999'",
            "proxy: must be http://host:port/path, https://... or unix:/path, not `http://h:99999`",
        ),
        (
            "proxy: 'unix:'",
            "proxy: must be http://host:port/path, https://... or unix:/path, not `unix:`",
        ),
        (
            "proxy: 'http://h/a b'",
            "proxy: must be http://host:port/path, https://... or unix:/path, not `http://h/a b`",
        ),
        ("checkEndpoint: '/a b'", "checkEndpoint: must be a path without spaces, not '/a b'"),
        ("cmdStop: {a: b}", "cmdStop: must be text or a list of arguments"),
        ("cmdStop: [a, [b]]", "cmdStop: must be text or a list of arguments"),
    ],
)
def test_a_models_mistake_is_told_in_plain_words(mistakes, text, message):
    line = wrong(mistakes, text)
    assert line.startswith("c.yaml:2:")
    assert line.endswith(f" models.m.{message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("startPort: 0", "startPort: must be at least 1"),
        ("startPort: 65536", "startPort: must be at most 65535"),
        ("globalTTL: -1", "globalTTL: must be at least 0"),
        (
            "logLevel: debgu",
            "logLevel: unknown value `debgu`; known: debug, info, warn, error; did you mean `debug`?",
        ),
        ("format: x", "format: unknown value `x`; known: native, guide, hotmodel"),
        ("maxBody: 5 apples", "maxBody: must be a number of bytes, or a size such as `512MiB`"),
        ("maxBody: true", "maxBody: must be a number of bytes, or a size such as `512MiB`"),
        ("apiKeys: ['']", "apiKeys[0]: empty api key found in apiKeys"),
        ("apiKeys: [a, 'b c']", "apiKeys[1]: apiKeys[1]: api key cannot contain spaces"),
        ("defaultModel: n", "defaultModel: unknown model `n`"),
        (
            "hooks: {on_startup: {preload: [m, mm]}}",
            "hooks.on_startup.preload[1]: unknown model `mm`; did you mean `m`?",
        ),
        (
            "hooks: {onStartup: {}}",
            "hooks.onStartup: unknown key `onStartup` at hooks; did you mean `on_startup`?",
        ),
        (
            "routing: {scheduler: {use: lifo}}",
            "routing.scheduler.use: unknown value `lifo`; known: fair, fifo; did you mean `fifo`?",
        ),
        (
            "routing: {scheduler: {settings: {fifo: {priority: {x: 1}}}}}",
            "routing.scheduler.settings.fifo.priority.x: unknown model `x`",
        ),
        (
            "routing: {scheduler: {settings: {fair: {priority: {m: 1, alias: 2}}}}}",
            "routing.scheduler.settings.fair.priority.alias: m has priority 1 by another name",
        ),
        (
            "routing: {scheduler: {settings: {fair: {priority: {nobody: 1}}}}}",
            "routing.scheduler.settings.fair.priority.nobody: unknown model `nobody`",
        ),
        (
            "routing: {scheduler: {settings: {fair: {minResidency: -1}}}}",
            "routing.scheduler.settings.fair.minResidency: must be at least 0",
        ),
        (
            "routing: {scheduler: {use: fifo, settings: {fifo: {minResidency: 5}}}}",
            "unknown key `minResidency` at routing.scheduler.settings.fifo",
        ),
        (
            "routing: {scheduler: {settings: {fair: {maxWait: 9, queueTimeout: 8}}}}",
            "routing.scheduler.settings.fair.maxWait: maxWait (9) is longer than queueTimeout (8): nobody waits that long",
        ),
    ],
)
def test_a_top_level_mistake_is_told_in_plain_words(mistakes, text, message):
    line = wrong(mistakes, "aliases: [alias]", text)
    assert line.startswith("c.yaml:1:")
    assert line.endswith(f" {message}")


@pytest.mark.parametrize("cmd", ["''", "' \n '", "'# nothing'", "[]", "['']", ""])
def test_an_empty_command_is_a_mistake(mistakes, cmd):
    (line,) = mistakes(f"models: {{m: {{proxy: 'http://h:1', cmd: {cmd}}}}}")
    assert line.endswith("empty command: `cmd` says how the model's server is started")


def test_a_command_holds_no_nul(mistakes):
    (line,) = mistakes('models: {m: {cmd: "x \\0", proxy: "http://h:1"}}')
    assert line.endswith("models.m.cmd: a command cannot hold a NUL character")


def test_an_alias_leads_to_one_model(mistakes):
    text = "models:\n  b: {cmd: 'x ${PORT}', aliases: [z]}\n  a: {cmd: 'x ${PORT}', aliases: [z]}\n"
    (line,) = mistakes(text)
    assert line == (
        "c.yaml:2:35 models.b.aliases[0]: duplicate alias z found in model: b; it is an alias of a already"
    )


def test_an_alias_that_is_a_models_id_is_noted(loaded):
    config = loaded(
        "models: {a: {cmd: 'x ${PORT}', aliases: [b]}, b: {cmd: 'x ${PORT}'}}\ndefaultModel: b"
    )
    assert config.default_model == "b"
    assert config.notes == ("c.yaml:1 models.a.aliases[0]: the model `b` has this name",)


def test_aliases_are_resolved_everywhere(loaded):
    text = """\
    models: {a: {cmd: 'x ${PORT}', aliases: [z]}}
    defaultModel: " z "
    hooks: {on_startup: {preload: [" z ", a, ""]}}
    routing: {scheduler: {settings: {fair: {priority: {z: 3}}}}}
    """
    config = loaded(text)
    assert (config.default_model, config.preload, config.scheduling.priority) == (
        "z",
        ("a",),
        {"a": 3},
    )


@pytest.mark.parametrize("name", ["far", "p/far", "s", "m", "al"])
def test_any_name_may_be_the_default(loaded, name):
    text = """\
    models: {m: {cmd: 'x ${PORT}', aliases: [al]}}
    peers: {p: {proxy: 'http://h', models: [far]}}
    selectors: {s: {strategy: pin, targets: [m]}}
    """
    assert loaded(text + f"defaultModel: {name}").default_model == name


def test_scheduling_has_defaults(loaded):
    scheduling = loaded("").scheduling
    assert (
        scheduling.use,
        scheduling.max_wait,
        scheduling.queue_timeout,
        scheduling.max_queue,
    ) == ("fair", 30, 600, 1000)


def test_a_default_wait_is_no_longer_than_the_queue_timeout(loaded):
    text = "routing: {scheduler: {settings: {fair: {queueTimeout: 5}}}}"
    assert loaded(text).scheduling.max_wait == 5


def test_without_a_queue_timeout_the_wait_is_what_it_was(loaded):
    text = "routing: {scheduler: {settings: {fair: {queueTimeout: 0}}}}"
    assert loaded(text).scheduling.max_wait == 30
    text = "routing: {scheduler: {settings: {fair: {queueTimeout: 0, maxWait: 50}}}}"
    assert loaded(text).scheduling.max_wait == 50


@pytest.mark.parametrize(("use", "seconds"), [("fair", 20), ("fifo", 0)])
def test_residency_is_of_the_fair_discipline(loaded, use, seconds):
    text = f"routing: {{scheduler: {{use: {use}, settings: {{fair: {{minResidency: 20}}}}}}}}"
    assert loaded(text).scheduling.min_residency == seconds


def test_a_wait_longer_than_the_default_timeout_is_written_so(loaded):
    text = "routing: {scheduler: {settings: {fair: {maxWait: 900}}}}"
    assert loaded(text).scheduling.max_wait == 900


def test_fair_takes_fifos_priority_when_it_has_none(loaded):
    text = """\
    models: {m: {cmd: 'x ${PORT}'}}
    routing: {scheduler: {settings: {fifo: {priority: {m: 7}, maxQueue: 3}}}}
    """
    assert loaded(text).scheduling.priority == {"m": 7}
    assert loaded(text).scheduling.max_queue == 1000


def test_fifo_has_its_own_settings(loaded):
    text = "routing: {scheduler: {use: fifo, settings: {fifo: {queueTimeout: 9, maxQueue: 3}, fair: {maxWait: 1}}}}"
    scheduling = loaded(text).scheduling
    assert (scheduling.use, scheduling.queue_timeout, scheduling.max_queue) == ("fifo", 9, 3)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", 1000),
        ("1kB", 1000),
        ("2 KiB", 2048),
        ("512MiB", 512 << 20),
        ("1g", 10**9),
        ("3b", 3),
        ("0", 0),
    ],
)
def test_sizes(loaded, text, size):
    assert loaded(f"maxBody: {text}").max_body == size


def test_a_number_where_text_is_wanted_is_taken_as_it_was_spelled(loaded):
    config = loaded(
        "models: {m: {cmd: [x, 1.10, '${PORT}', true], name: 007, env: [A=1]}}\napiKeys: [0123, 1.50, true]"
    )
    assert config.models["m"].name == "007"
    assert config.models["m"].cmd == ("x", "1.10", "${PORT}", "true")
    assert config.api_keys == ("0123", "1.50", "true")


def test_free_values_are_plain_ones(loaded):
    row = one(loaded, "metadata: {a: 1.10, b: [0x10]}")
    assert row.metadata == {"a": 1.1, "b": [16]}
    assert {type(row.metadata["a"]), type(row.metadata["b"][0])} == {float, int}


def test_words_of_choice_have_no_case(loaded):
    assert loaded("logLevel: WARN").log_level == "warn"


def test_ports_have_an_end(mistakes):
    (line,) = mistakes("startPort: 65535\nmodels: {a: {cmd: 'x ${PORT}'}, b: {cmd: 'x ${PORT}'}}")
    assert line == "c.yaml:1:1 startPort: leaves no room for 2 ports up to 65535"


def test_keys_without_a_value_are_not_written(loaded):
    config = loaded(
        "models:\n  m: {cmd: 'x ${PORT}', aliases: , ttl: , timeouts: }\ngroups:\nhooks:\nstartPort:\n"
    )
    assert config.models["m"].timeouts.idle == 3600


def test_the_python_names_of_keys_are_not_keys(mistakes):
    assert "unknown key `start_port`" in wrong(mistakes, "", "start_port: 3")
