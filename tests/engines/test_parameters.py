"""From flags to the wheel's parameters, where it takes more than one field."""

import pytest

from corral.engines.command_line import Misuse, read
from corral.engines.llama import load_wheel
from corral.engines.parameters import build

WHEEL = load_wheel()


def made(*argv):
    return build(WHEEL, read(argv, {}))


def test_defaults_are_llama_servers():
    params = made()
    assert (params.port, params.hostnames, params.n_parallel) == (8080, ["127.0.0.1"], -1)
    assert (params.use_jinja, params.warmup, params.endpoint_slots, params.endpoint_props) == (
        True,
        True,
        True,
        False,
    )
    assert params.default_template_kwargs == {"preserve_reasoning": "true"}


@pytest.mark.parametrize(
    ("line", "mode"),
    [
        ("", "AUTO"),
        ("--mlock", "MMAP_MLOCK"),
        ("--no-mmap", "NONE"),
        ("--mlock --no-mmap", "MLOCK"),
        ("--no-mmap --mlock", "MLOCK"),
        ("--no-mmap --mmap", "MMAP"),
        ("--direct-io", "DIRECT_IO"),
        ("-dio --load-mode mmap", "MMAP"),
    ],
)
def test_the_older_switches_are_load_modes(line, mode):
    assert made(*line.split()).load_mode.name == "LLAMA_LOAD_MODE_" + mode


def test_what_adds_up_adds_up():
    params = made(
        "--lora",
        "a,b",
        "--lora-scaled",
        "c:0.5",
        "--api-key",
        "k",
        "--api-key",
        "l",
        "-a",
        "x",
        "-a",
        "y",
    )
    assert [(one.path, one.scale) for one in params.lora_adapters] == [
        ("a", 1),
        ("b", 1),
        ("c", 0.5),
    ]
    assert (params.api_keys, params.model_alias) == (["k", "l"], {"x", "y"})


def test_keys_come_from_a_file_too(tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# ours\none\n\ntwo\n")
    assert made("--api-key", "zero", "--api-key-file", str(keys)).api_keys == ["zero", "one", "two"]


def test_tensors_are_overridden_in_order():
    params = made("-ot", "a=CPU", "-cmoe", "-ncffn", "1")
    assert params.tensor_buft_overrides == (
        r"a=CPU,\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU,blk\.0\.ffn_(up|down|gate)\.=CPU"
    )


def test_one_margin_is_for_every_device():
    assert set(made("-fitt", "7").fit_params_target) == {7 * 2**20}
    assert made("-fitt", "7,8").fit_params_target[:3] == [7 * 2**20, 8 * 2**20, 2**30]


def test_too_many_shares_are_refused():
    with pytest.raises(Misuse, match="at most 128 values"):
        made("-ts", ",".join(["1"] * 129))


def test_a_chosen_sampling_setting_is_marked_as_chosen():
    marks = WHEEL.common_params_sampling_config
    chosen = marks.COMMON_PARAMS_SAMPLING_CONFIG_TEMP | marks.COMMON_PARAMS_SAMPLING_CONFIG_TOP_K
    assert (
        made(
            "--temp", "0.5", "--top-k", "3", "--presence-penalty", "1"
        ).sampling.user_sampling_config
        == chosen
    )


@pytest.mark.parametrize(
    ("argv", "origins"),
    [
        ((), "*"),
        (("--tools", "all"), "localhost"),
        (("--agent",), "localhost"),
        (("--agent", "--cors-origins", "*"), "*"),
        (("--no-agent",), "*"),
    ],
)
def test_tools_keep_strangers_out(argv, origins):
    assert made(*argv).cors_origins == origins


def test_reasoning_is_told_to_server_and_template():
    params = made("--reasoning", "off", "--reasoning-effort", "low", "--no-reasoning-preserve")
    assert params.enable_reasoning == 0
    assert params.default_template_kwargs == {
        "enable_thinking": "false",
        "reasoning_effort": '"low"',
        "preserve_reasoning": "false",
    }


@pytest.mark.parametrize(
    ("argv", "stops"),
    [(("-r", r"a\nb\x41\q"), ["a\nbA\\q"]), (("-r", r"a\nb", "--no-escape"), [r"a\nb"])],
)
def test_escapes_are_understood(argv, stops):
    assert made(*argv).antiprompt == stops


def test_processors_add_up():
    mask = made("-C", "0x1", "-Cr", "3-4").cpuparams.cpumask
    assert [cpu for cpu, on in enumerate(mask) if on] == [0, 3, 4]


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (("-Cr", "0-9999"), "processors go from 0 to 511"),
        (("-ot", "a"), "invalid value"),
        (("-devd", "CUDA7"), "invalid device: CUDA7"),
        (("-j", "{"), "json_schema_to_grammar"),
    ],
)
def test_what_the_wheel_refuses_is_misuse(argv, problem):
    with pytest.raises(Misuse) as misuse:
        made(*argv)
    assert str(misuse.value).startswith(f"{' '.join(argv)}: {problem}")


@pytest.mark.parametrize(
    ("argv", "path"),
    [
        ((), ""),
        (("-m", "a.gguf"), "a.gguf"),
        (("-hf", "user/model:Q8_0"), "user/model:Q8_0"),
        (("-dr", "gemma3"), "gemma3"),
        (("-mu", "http://host/dir/b.gguf#x"), "/cache/b.gguf"),
        (("-m", "mine.gguf", "-mu", "http://host/b.gguf"), "mine.gguf"),
    ],
)
def test_a_download_has_a_place(argv, path, tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path))
    assert made(*argv).model.path == path.replace("/cache", str(tmp_path))


def test_a_model_known_by_name_is_downloaded():
    params = made("--fim-qwen-7b-spec")
    assert params.model.hf_repo == "ggml-org/Qwen2.5-Coder-7B-Q8_0-GGUF"
    assert params.speculative.draft.mparams.hf_file == "qwen2.5-coder-0.5b-q8_0.gguf"
