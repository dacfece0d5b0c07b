"""llama-server's options by all their names, against the shipped engine's table of them."""

import pytest

from corral.config.formats.llama_options import arguments, option, united
from corral.engines.flags import FLAGS

NO_OPTIONS = {"--completion-bash", "--cache-list"}
OPTIONS = [flag for flag in FLAGS if not flag.kind.action and flag.name not in NO_OPTIONS]


def variables(flag):
    return [(name, True) for name in flag.env.split()] + [
        (name, False) for name in flag.env_off.split()
    ]


@pytest.mark.parametrize("flag", OPTIONS, ids=lambda flag: flag.name)
def test_every_name_of_an_option_leads_to_one(flag):
    name = flag.name.lstrip("-")
    for spelled in flag.names.split():
        assert option(spelled.lstrip("-")) == (name, True)
    for spelled in flag.off.split():
        assert option(spelled.lstrip("-")) == (name, False)
    for variable, yes in variables(flag):
        assert option(variable) == (name, yes)


@pytest.mark.parametrize("flag", OPTIONS, ids=lambda flag: flag.name)
def test_what_takes_a_value_has_one_on_the_command_line(flag):
    name = flag.name.lstrip("-")
    words = list(arguments(united([{name: "1"}])))
    assert words == ([flag.name, "1"] if flag.kind.metavar else [flag.name])


@pytest.mark.parametrize(
    "flag", [one for one in OPTIONS if not one.kind.metavar], ids=lambda flag: flag.name
)
def test_a_switch_says_no_where_it_can(flag):
    words = list(arguments(united([{flag.name.lstrip("-"): "false"}])))
    assert len(words) == bool(flag.off)
    assert set(words) <= set(flag.off.split())


def test_later_layers_win_by_whatever_name():
    layers = [
        {"LLAMA_ARG_CTX_SIZE": "1", "jinja": "true", "no-warmup": "1"},
        {"c": "2", "temp": "0.5"},
        {"ctx-size": "3", "no-jinja": "on"},
    ]
    assert united(layers) == {"warmup": False, "temp": "0.5", "ctx-size": "3", "jinja": False}


def test_an_option_that_nobody_knows_takes_a_value():
    assert option("brand-new") == ("brand-new", True)
    assert option("LLAMA_ARG_BRAND_NEW") == ("brand-new", True)
    options = united([{"brand-new": "true", "Z": "1"}])
    assert list(arguments(options)) == ["--brand-new", "true", "-Z", "1"]
