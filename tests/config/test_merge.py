"""Several files, one configuration."""

import pytest

ONE = "models:\n  a: {cmd: 'x ${PORT} ${tail}', aliases: [a1]}\napiKeys: [k1]\nlogLevel: info\nhooks:\n"
TWO = "macros: {tail: end}\nmodels:\n  b: {cmd: y, proxy: 'http://h:1'}\napiKeys: [k2]\nlogLevel: info\nhooks: {on_startup: {preload: [a]}}\n"


def test_mappings_merge_lists_join_and_equal_values_stay(loaded):
    config = loaded(ONE, TWO)
    assert list(config.models) == ["a", "b"]
    assert config.models["a"].cmd == "x ${PORT} end"
    assert config.api_keys == ("k1", "k2")
    assert config.preload == ("a",)


def test_an_empty_file_adds_nothing(loaded):
    assert loaded("", ONE + "macros: {tail: ''}", "# nothing").api_keys == ("k1",)


def test_two_values_clash(mistakes):
    (line,) = mistakes(ONE, "macros: {tail: ''}\nlogLevel: warn\n")
    assert line == 'c2.yaml:2:1 logLevel: conflict at "logLevel": c.yaml:4 says otherwise'


def test_a_flag_is_not_its_number(mistakes):
    (line,) = mistakes("logRequests: true\n", "logRequests: 1\n")
    assert "conflict at" in line


def test_kinds_clash(mistakes):
    (line,) = mistakes(ONE, "apiKeys: {a: b}\n")
    assert "incompatible YAML node kinds" in line
    assert line.startswith("c2.yaml:1:1 apiKeys: ")


def test_a_model_stands_in_one_file_only(mistakes):
    assert mistakes(ONE, "models:\n  a: {ttl: 3}\ngroups: {g: {}}\n", "groups: {g: {}}\n") == [
        'c2.yaml:2:3 models.a: duplicate models "a" found in c2.yaml',
        'c3.yaml:1:10 groups.g: duplicate groups "g" found in c3.yaml',
    ]


def test_a_joined_lists_items_keep_their_places(mistakes):
    model = "models: {a: {cmd: 'x ${PORT}'}}\n"
    assert mistakes(model + "apiKeys: [a]\n", "apiKeys:\n- b\n- 'c d'\n") == [
        "c2.yaml:3:3 apiKeys[2]: apiKeys[2]: api key cannot contain spaces"
    ]


def test_every_file_that_cannot_be_read_is_told(mistakes):
    assert mistakes("a: [\n", "- b\n")[-1] == "c2.yaml:1:1 the top level must be a mapping of keys"


OWNED = [
    "models: {K: {cmd: 'x ${PORT}'}}",
    "groups: {K: {}}",
    "profiles: {K: {description: d}}",
    "selectors: {K: {strategy: pin}}",
    "peers: {K: {proxy: 'http://h'}}",
    "matrix: {sets: {s: a}}",
    "routing: {router: {settings: {groups: {K: {}}}}}",
    "routing: {router: {settings: {matrix: {sets: {s: a}}}}}",
]


@pytest.mark.parametrize("text", OWNED)
def test_what_has_an_owner_stands_in_one_file_only(mistakes, text):
    (line,) = mistakes(text, "# another\n" + text)
    path = line.split()[1].removesuffix(":")
    owner, _, key = path.rpartition(".")
    assert line.startswith("c2.yaml:2:")
    assert line.endswith(f'duplicate {owner} "{key}" found in c2.yaml')


def test_owners_may_be_in_different_files(loaded):
    config = loaded(
        "peers: {p: {proxy: 'http://p', models: [a]}}\nstore: {path: a.db}",
        "peers: {q: {proxy: 'http://q', models: [b]}}\nui: {activity: {session_id: [X]}}",
        "selectors: {s: {strategy: pin, targets: [a, q/b]}}\nupstream: {ignorePaths: [x]}",
        "profiles: {w: {pins: {n: s}}}\nupstream: {ignorePaths: [y]}\nstore: {path: a.db}",
    )
    assert list(config.peers) == ["p", "q"]
    assert config.selectors["s"].targets == ("a", "q/b")
    assert config.profiles["w"].pins == {"n": "s"}
    assert [one.pattern for one in config.upstream.ignore_paths] == ["x", "y"]
    assert config.store_path == "a.db"


def test_nothing_yields_to_something(loaded):
    config = loaded(
        "logLevel:\napiKeys:\n", "logLevel: warn\napiKeys: [k]\n", "logLevel:\nhooks:\n"
    )
    assert (config.log_level, config.api_keys) == ("warn", ("k",))


def test_files_without_content_leave_the_defaults(loaded):
    assert loaded("", "# nothing\n", "---\n").models == {}


def test_the_environment_is_put_in_file_by_file(loaded):
    config = loaded(
        "apiKeys: [${env.ONE}]", "apiKeys: [${env.TWO}]", env={"ONE": "k1", "TWO": "k2"}
    )
    assert config.api_keys == ("k1", "k2")


def test_a_macro_of_one_file_is_used_in_another(loaded):
    peer = "peers: {p: {proxy: '${base}/p', models: [a]}}"
    assert loaded(peer, "macros: {base: 'http://h'}").peers["p"].proxy == "http://h/p"


def test_every_conflict_is_told_at_once(mistakes):
    lines = mistakes(
        "logLevel: info\nglobalTTL: 1\nui: {activity: {session_id: [A]}}\n",
        "logLevel: warn\nglobalTTL: 2\nui: {activity: {session_id: A}}\n",
    )
    assert [line.split(": ")[0] for line in lines] == [
        "c2.yaml:1:1 logLevel",
        "c2.yaml:2:1 globalTTL",
        "c2.yaml:3:17 ui.activity.session_id",
    ]
    assert "incompatible YAML node kinds" in lines[-1]


def test_a_conflict_between_secrets_does_not_show_them(mistakes):
    one = "store: {path: '${env.A_TOKEN}'}"
    (line,) = mistakes(one, "store: {path: 'hunter2'}", env={"A_TOKEN": "s3cret"})
    assert line == 'c2.yaml:1:9 store.path: conflict at "store.path": c.yaml:1 says otherwise'
