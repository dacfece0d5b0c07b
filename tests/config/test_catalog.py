"""Names to models."""

import pytest

from corral.config.catalog import Catalog, Target
from corral.errors import ModelNotFound

TEXT = """\
models:
  zephyr: {cmd: 'x ${PORT}', aliases: [gpt-4o, "org/alias"]}
  author/model:F16: {cmd: 'x ${PORT}', unlisted: true, aliases: [hidden]}
  author: {cmd: 'x ${PORT}', aliases: [zephyr]}
"""


@pytest.fixture
def catalog(loaded):
    return Catalog(loaded(TEXT))


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("zephyr", "zephyr"),
        ("gpt-4o", "zephyr"),
        ("author/model:F16", "author/model:F16"),
        ("hidden", "author/model:F16"),
    ],
)
def test_ids_and_aliases_lead_to_real_ids(catalog, name, model):
    assert catalog.resolve(name) == model
    assert name in catalog


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zefyr", "no model is called `zefyr`; did you mean `zephyr`?"),
        ("GPT-4O", "no model is called `GPT-4O`; did you mean `gpt-4o`?"),
        ("qqqq", "no model is called `qqqq`; there are author, author/model:F16, zephyr"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(catalog, name, message):
    with pytest.raises(ModelNotFound) as caught:
        catalog.resolve(name)
    assert caught.value.message == message
    assert name not in catalog


def test_a_name_of_absurd_length_is_shortened(catalog):
    with pytest.raises(ModelNotFound) as caught:
        catalog.resolve("x" * 100_000)
    assert len(caught.value.message) < 400


def test_without_models_nothing_is_near(loaded):
    with pytest.raises(ModelNotFound, match="no models are configured"):
        Catalog(loaded("")).resolve("m")


def test_several_may_be_near(loaded):
    catalog = Catalog(loaded("models: {qwen-1: {cmd: 'x ${PORT}'}, qwen-2: {cmd: 'x ${PORT}'}}"))
    with pytest.raises(ModelNotFound, match=r"did you mean `qwen-[12]` or `qwen-[12]`"):
        catalog.resolve("qwen-3")


def test_a_long_list_of_models_is_cut_short(loaded):
    rows = ", ".join(f"model-number-{n}: {{cmd: 'x ${{PORT}}'}}" for n in range(9))
    with pytest.raises(ModelNotFound, match=r"model-number-7, \.\.\.$"):
        Catalog(loaded(f"models: {{{rows}}}")).resolve("zz")


def test_a_listing_is_sorted_and_leaves_out_the_unlisted(catalog, loaded):
    assert catalog.names() == ("author", "zephyr")
    with_aliases = Catalog(loaded(TEXT + "includeAliasesInList: true"))
    assert with_aliases.names() == ("author", "gpt-4o", "org/alias", "zephyr")


def test_an_alias_that_is_another_models_id_is_that_model(catalog):
    assert catalog.aliases("zephyr") == ("gpt-4o", "org/alias")
    assert catalog.aliases("author") == ()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("zephyr", ("zephyr", "")),
        ("zephyr/", ("zephyr", "/")),
        ("zephyr/v1/chat", ("zephyr", "/v1/chat")),
        ("author/model:F16/v1/x%2Fy%252F", ("author/model:F16", "/v1/x%2Fy%252F")),
        ("author%2Fmodel%3AF16/v1", ("author/model:F16", "/v1")),
        ("author/other/v1", ("author", "/other/v1")),
        ("org/alias//x", ("zephyr", "//x")),
        ("nope/v1", None),
        ("", None),
        ("/zephyr", None),
        ("zephyrs/v1", None),
    ],
)
def test_the_longest_leading_name_is_the_model(catalog, path, found):
    run = catalog.longest_prefix(path)
    assert (run and (run[0].model, run[1])) == found


def test_its_repr_says_how_much_it_knows(catalog):
    assert repr(catalog) == "<Catalog: 3 models, 6 names>"


ELSEWHERE = (
    TEXT
    + """\
peers:
  east: {proxy: "http://east", models: [glm, zephyr, shared, org/big, virtual]}
  west: {proxy: "http://west", models: [shared, only-west]}
selectors:
  virtual: {strategy: pin, targets: [zephyr, west/shared]}
  hush: {strategy: pin, targets: [zephyr], unlisted: true}
"""
)


@pytest.fixture
def wide(loaded):
    return Catalog(loaded(ELSEWHERE))


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("zephyr", Target("zephyr", "", "zephyr")),
        ("gpt-4o", Target("zephyr", "", "gpt-4o")),
        ("east/zephyr", Target("zephyr", "east", "east/zephyr")),
        ("east/glm", Target("glm", "east", "east/glm")),
        ("glm", Target("glm", "east", "glm")),
        ("west/shared", Target("shared", "west", "west/shared")),
        ("org/big", Target("org/big", "east", "org/big")),
        ("east/org/big", Target("org/big", "east", "east/org/big")),
        ("east/virtual", Target("virtual", "east", "east/virtual")),
    ],
)
def test_a_name_leads_to_a_model_here_or_at_a_peer(wide, name, target):
    assert wide.target(name) == target


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shared", "no model is called `shared`; did you mean `"),
        (
            "virtual",
            "`virtual` is a selector, which stands for others: name `zephyr` or `west/shar",
        ),
        ("east/gml", "no model is called `east/gml`; did you mean `east/glm`"),
        ("only-wst", "no model is called `only-wst`; did you mean `only-west`"),
        ("vrtual", "no model is called `vrtual`; did you mean `virtual`"),
        ("qqqqqq", "there are author, author/model:F16, zephyr"),
    ],
)
def test_a_name_that_leads_nowhere_is_told_with_all_that_is_near(wide, name, message):
    with pytest.raises(ModelNotFound) as caught:
        wide.target(name)
    assert message in caught.value.message


def test_a_peers_model_is_none_of_this_machine(wide):
    assert "east/glm" not in wide
    with pytest.raises(ModelNotFound, match="`east/glm` is a model of the peer `east`"):
        wide.resolve("east/glm")


def test_with_peers_alone_their_models_are_told(loaded):
    catalog = Catalog(loaded("peers: {p: {proxy: 'http://h', models: [abc]}}"))
    with pytest.raises(ModelNotFound, match="there are abc, p/abc"):
        catalog.target("zzzzzz")


def test_a_selector_is_found_by_its_name(wide):
    assert wide.selector("virtual").targets == ("zephyr", "west/shared")
    assert wide.selector("zephyr") is None


def test_what_a_listing_needs_of_peers_and_selectors(wide):
    assert [target.name for target in wide.peer_models()] == [
        "east/glm",
        "east/org/big",
        "east/shared",
        "east/virtual",
        "east/zephyr",
        "west/only-west",
        "west/shared",
    ]
    assert wide.peer_models()[0] == Target("glm", "east", "east/glm")
    assert wide.selectors() == ("virtual",)
    assert wide.names() == ("author", "zephyr")


@pytest.mark.parametrize(
    ("path", "name", "rest"),
    [
        ("east/glm/v1", "east/glm", "/v1"),
        ("east%2Fglm/v1", "east/glm", "/v1"),
        ("glm/v1", "glm", "/v1"),
        ("org/big/x", "org/big", "/x"),
        ("east/org/big/x%2Fy", "east/org/big", "/x%2Fy"),
        ("zephyr/x", "zephyr", "/x"),
    ],
)
def test_the_longest_leading_name_may_be_a_peers(wide, path, name, rest):
    assert wide.longest_prefix(path) == (wide.target(name), rest)


def test_selectors_are_no_leading_names(wide):
    assert wide.longest_prefix("virtual/v1") is None


def test_a_target_has_one_name_however_it_was_asked_for(wide):
    assert {wide.target(name).listed for name in ("glm", "east/glm")} == {"east/glm"}
    assert {wide.target(name).listed for name in ("gpt-4o", "zephyr")} == {"zephyr"}


def test_names_that_parameters_are_set_for_are_names(loaded):
    config = loaded(
        "models: {m: {cmd: 'x ${PORT}', filters: {setParamsByID: {'${MODEL_ID}:hot': {t: 1}}}}}\n"
        "includeAliasesInList: true"
    )
    catalog = Catalog(config)
    assert catalog.target("m:hot") == Target("m", "", "m:hot")
    assert catalog.names() == ("m", "m:hot")
