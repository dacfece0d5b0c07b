"""Reading a command line and an environment."""

import pytest

from corral.engines.command_line import SPELLINGS, Misuse, read


def values(line, **environ):
    """What each flag came to, by its name; the last one counts."""
    return {asked.flag.name: asked.value for asked in read(line.split(), environ)}


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("-c 4096", "--ctx-size", 4096),
        ("--ctx-size 4096", "--ctx-size", 4096),
        ("--ctx_size 4096", "--ctx-size", 4096),
        ("-ngl 99", "--n-gpu-layers", 99),
        ("-ngl all", "--n-gpu-layers", -2),
        ("-ngl auto", "--n-gpu-layers", -1),
        ("-ngl 0", "--n-gpu-layers", 0),
        ("-fa on", "--flash-attn", "LLAMA_FLASH_ATTN_TYPE_ENABLED"),
        ("-fa 0", "--flash-attn", "LLAMA_FLASH_ATTN_TYPE_DISABLED"),
        ("-fa auto", "--flash-attn", "LLAMA_FLASH_ATTN_TYPE_AUTO"),
        ("-ctk q4_0", "--cache-type-k", "GGML_TYPE_Q4_0"),
        ("-ts 1,1.5", "--tensor-split", [1.0, 1.5]),
        ("-ts 3/1", "--tensor-split", [3.0, 1.0]),
        ("--reasoning off", "--reasoning", False),
        ("--no-slots", "--slots", False),
        ("--slots", "--slots", True),
        ("--no-kv-offload", "--kv-offload", True),
        ("-s -1", "--seed", 2**32 - 1),
        ("--host 127.0.0.1,/run/x.sock", "--host", ["127.0.0.1", "/run/x.sock"]),
        ("-c 1 -c 2", "--ctx-size", 2),
        ("-C 0x5", "--cpu-mask", [0, 2]),
        ("-Cr 2-4", "--cpu-range", [2, 3, 4]),
        ("-Cr -2", "--cpu-range", [0, 1, 2]),
        (
            "-ncffn 2",
            "--n-cpu-ffn",
            r"blk\.0\.ffn_(up|down|gate)\.=CPU,blk\.1\.ffn_(up|down|gate)\.=CPU",
        ),
        ("--lora-scaled a:b.gguf:0.5", "--lora-scaled", [("a:b.gguf", 0.5)]),
        ("--samplers top-k;temp", "--samplers", "top_k;temperature"),
        ('--chat-template-kwargs {"a":{"b":1}}', "--chat-template-kwargs", {"a": '{"b":1}'}),
    ],
)
def test_a_value_is_read(line, name, value):
    assert values(line)[name] == value


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("--ctx-sise 4", "unknown argument: --ctx-sise (did you mean --ctx-size?)"),
        ("--ctx-size=4", "unknown argument: --ctx-size=4 (write --ctx-size 4)"),
        ("stray", "unknown argument: stray (--help lists them all)"),
        ("-c", "-c needs a value: N"),
        ("--ctx_size", "--ctx_size needs a value: N"),
        (
            "--control-vector-layer-range 1",
            "--control-vector-layer-range needs a value: FIRST LAST",
        ),
        ("-c many", "-c many: not a whole number: 'many'"),
        ("-c 4k", "-c 4k: not a whole number: '4k'"),
        ("-c -1", "-c -1: -1 is not between 0 and 2147483647"),
        ("-c 99999999999", "-c 99999999999: 99999999999 is not between 0 and 2147483647"),
        ("--port 70000", "--port 70000: 70000 is not between 0 and 65535"),
        ("--temp hot", "--temp hot: not a number: 'hot'"),
        ("--temp nan", "--temp nan: not a finite number: 'nan'"),
        ("--repeat-penalty 0", "--repeat-penalty 0: must be above 0"),
        ("-fa maybe", "-fa maybe: 'maybe' is neither on nor off"),
        (
            "-ctk q9",
            "-ctk q9: 'q9' is none of f32, f16, bf16, q8_0, q4_0, q4_1, iq4_nl, q5_0, q5_1",
        ),
        ("-sm both", "-sm both: 'both' is none of none, layer, row, tensor"),
        ("-np 0", "-np 0: 0 slots serve nobody; -1 lets llama.cpp decide"),
        ("-ngl some", "-ngl some: not a whole number: 'some'"),
        ("-ts 1,x", "-ts 1,x: not a number: 'x'"),
        ("-C xyz", "-C xyz: not a hexadecimal mask: 'xyz'"),
        ("-Cr 5", "-Cr 5: write FIRST-LAST"),
        ("--host ,", "--host ,: needs an address"),
        ("--rope-scale 0", "--rope-scale 0: must not be 0"),
        ("--sleep-idle-seconds 0", "--sleep-idle-seconds 0: at least 1 second, or -1 for never"),
        ("--lora-scaled a.gguf", "--lora-scaled a.gguf: write FILE:SCALE"),
        ("--samplers guess", "--samplers guess: 'guess' is none of"),
        ("--sampler-seq kz", "--sampler-seq kz: 'z' is none of"),
        ("--spec-type magic", "--spec-type magic: 'magic' is none of none, draft-simple"),
        (
            "--spec-draft-sampling x",
            "--spec-draft-sampling x: 'x' is none of greedy, probabilistic",
        ),
        ("--slot-save-path /no/such", "--slot-save-path /no/such: not a directory: /no/such"),
        (
            "--grammar-file /no/such",
            "--grammar-file /no/such: cannot read /no/such: No such file or directory",
        ),
        ("--chat-template-kwargs {", "--chat-template-kwargs {: not JSON"),
        ("--chat-template-kwargs [1]", "--chat-template-kwargs [1]: not a JSON object: [1]"),
    ],
)
def test_bad_input_is_one_line_that_names_it(line, problem):
    with pytest.raises(Misuse) as misuse:
        read(line.split(), {})
    assert str(misuse.value).startswith(problem)
    assert "\n" not in str(misuse.value)


def test_the_environment_counts_where_the_command_line_says_nothing():
    assert values("-n 5", LLAMA_ARG_CTX_SIZE="64")["--ctx-size"] == 64
    assert values("-c 128", LLAMA_ARG_CTX_SIZE="64")["--ctx-size"] == 128


def test_a_list_on_the_command_line_does_not_add_to_the_environments():
    assert [asked.value for asked in read(["--alias", "mine"], {"LLAMA_ARG_ALIAS": "theirs"})] == [
        ["mine"]
    ]


def test_an_empty_variable_says_nothing():
    assert values("", LLAMA_ARG_CTX_SIZE="") == {}


@pytest.mark.parametrize(
    ("environ", "name", "value"),
    [
        ({"LLAMA_ARG_JINJA": "off"}, "--jinja", False),
        ({"LLAMA_ARG_JINJA": "1"}, "--jinja", True),
        ({"LLAMA_ARG_NO_JINJA": "anything"}, "--jinja", False),
        ({"LLAMA_ARG_KV_OFFLOAD": "false"}, "--kv-offload", True),
        ({"LLAMA_ARG_EMBEDDINGS": "true"}, "--embeddings", True),
        ({"LLAMA_API_KEY": "a,b"}, "--api-key", ["a", "b"]),
        ({"HF_TOKEN": "secret"}, "--hf-token", "secret"),
        ({"LLAMA_ARG_DRAFT_MAX": "9"}, "--spec-draft-n-max", 9),
    ],
)
def test_variables(environ, name, value):
    assert {asked.flag.name: asked.value for asked in read([], environ)} == {name: value}


def test_a_switch_whose_variable_says_no_is_not_asked_for():
    assert values("", LLAMA_ARG_EMBEDDINGS="0") == {}


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"LLAMA_ARG_CTX_SIZE": "big"}, "LLAMA_ARG_CTX_SIZE=big: not a whole number: 'big'"),
        (
            {"LLAMA_ARG_JINJA": "perhaps"},
            "LLAMA_ARG_JINJA=perhaps: 'perhaps' is neither on nor off",
        ),
    ],
)
def test_a_bad_variable_is_named(environ, problem):
    with pytest.raises(Misuse) as misuse:
        read([], environ)
    assert str(misuse.value) == problem


def test_a_flag_out_of_reach_takes_its_arguments():
    """What follows is read as if the flag were not there."""
    ignored = [name for name, (flag, _) in SPELLINGS.items() if not flag.reaches]
    assert {"--rpc", "--override-kv", "--log-file", "--models-dir", "--spm-infill"} <= set(ignored)
    for name in ignored:
        words = ["1"] * len(SPELLINGS[name][0].kind.metavar.split())
        assert values(f"{name} {' '.join(words)} -c 7")["--ctx-size"] == 7
