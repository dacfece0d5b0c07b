from __future__ import annotations

import pytest

from corral.cli import sources
from corral.cli.exits import Exit, Failure
from corral.config.document import Source


def test_named_files_come_first_then_the_folder_by_name(tmp_path):
    folder = tmp_path / "d"
    folder.mkdir()
    for name in ("b.yaml", "a.yml", "c.txt", "e.YAML", "sub"):
        (folder / name).touch()
    named = [tmp_path / "z.yaml", tmp_path / "y.yaml"]
    assert sources.files(named, folder) == [*named, folder / "a.yml", folder / "b.yaml"]


def test_a_folder_named_like_a_file_is_left_out(tmp_path):
    (tmp_path / "x.yaml").mkdir()
    assert sources.files([], tmp_path) == []


def test_a_file_named_twice_over_is_a_mistake(tmp_path):
    (tmp_path / "a.yaml").touch()
    with pytest.raises(Failure, match="is also present in") as raised:
        sources.files([tmp_path / "a.yaml"], tmp_path)
    assert raised.value.code is Exit.MISUSED


def test_text_is_read_with_its_name(tmp_path):
    file = tmp_path / "ü.yaml"
    file.write_bytes(b"\xef\xbb\xbfmodels: {}\n")
    source = sources.read(file)
    assert (source.name, source.text) == (str(file), "models: {}\n")


def test_what_is_no_text(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_bytes(b"models\xff")
    with pytest.raises(Failure, match=r"a\.yaml: not UTF-8 text \(byte 6\)"):
        sources.read(file)


@pytest.mark.parametrize("reading", [sources.read, sources.models, lambda p: sources.files([], p)])
def test_what_is_not_there(tmp_path, reading):
    with pytest.raises(Failure, match="nowhere: No such file or directory") as raised:
        reading(tmp_path / "nowhere")
    assert raised.value.code is Exit.MISUSED


def test_a_folder_without_models(tmp_path):
    (tmp_path / "readme.txt").touch()
    with pytest.raises(Failure, match=r"no \*\.gguf files in it"):
        sources.models(tmp_path)


def test_models_lie_at_most_one_folder_down(tmp_path, monkeypatch):
    (tmp_path / "one" / "two").mkdir(parents=True)
    for path in ("top.gguf", "one/first.gguf", "one/two/second.gguf"):
        (tmp_path / path).touch()
    (tmp_path / "folder.gguf").mkdir()
    monkeypatch.chdir(tmp_path.parent)
    source = sources.models(tmp_path.relative_to(tmp_path.parent))
    assert source.text.count('"-m"') == 2
    assert str(tmp_path / "one" / "first.gguf") in source.text, (
        "absolute: engines may run elsewhere"
    )


def test_one_name_that_cannot_be_used_is_told(tmp_path):
    (tmp_path / "good.gguf").touch()
    (tmp_path / "${bad}.gguf").touch()
    with pytest.raises(Failure, match="would be read as a macro") as raised:
        sources.models(tmp_path)
    assert raised.value.code is Exit.MISUSED


HOT = """\
[router]
models_preset = "models.ini"
[models.small]
path = "small.gguf"
"""


def test_what_a_configuration_names_is_read_beside_it(tmp_path):
    (tmp_path / "hot.toml").write_text(HOT)
    (tmp_path / "models.ini").write_text("[small]\nmodel = small.gguf\n")
    ini = str(tmp_path / "models.ini")
    found = sources.beside([sources.read(tmp_path / "hot.toml")])
    assert found == {ini: Source(ini, "[small]\nmodel = small.gguf\n")}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.write_bytes(b"[\xff"), "not UTF-8 text (byte 1)"),
    ],
)
def test_what_of_it_cannot_be_read_is_for_the_configuration_to_say(tmp_path, make, said):
    (tmp_path / "hot.toml").write_text(HOT)
    make(tmp_path / "models.ini")
    (source,) = sources.beside([sources.read(tmp_path / "hot.toml")]).values()
    assert (source.text, source.unread) == ("", said)
