"""Folders for state and the login."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corral.host.files import runtime_folder, state_folder


def test_state_is_one_private_folder_for_each_configuration(tmp_path, monkeypatch):
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    one = state_folder(tmp_path / "a.yaml", env)
    assert one.parent == tmp_path / "state" / "corral"
    assert one.stat().st_mode & 0o777 == 0o700
    assert state_folder(tmp_path / "b.yaml", env) != one
    monkeypatch.chdir(tmp_path)
    assert state_folder(Path("a.yaml"), env) == one


@pytest.mark.parametrize("named", ["", "relative/folder"])
def test_a_home_that_is_not_absolute_is_ignored(tmp_path, monkeypatch, named):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = state_folder(tmp_path / "a.yaml", {"XDG_STATE_HOME": named})
    assert folder.parent == tmp_path / ".local" / "state" / "corral"


def test_the_runtime_folder_is_the_logins(tmp_path):
    folder = runtime_folder({"XDG_RUNTIME_DIR": str(tmp_path)})
    assert folder == tmp_path / "corral"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_without_a_login_it_is_one_that_only_we_can_open(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = runtime_folder({})
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert runtime_folder({}) == folder


@pytest.mark.parametrize("how", ["open", "link"])
def test_a_folder_that_others_prepared_is_not_used(tmp_path, monkeypatch, how):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"corral-{os.getuid()}"
    if how == "open":
        folder.mkdir()
        folder.chmod(0o777)
    else:
        (tmp_path / "trap").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "trap")
    with pytest.raises(PermissionError, match="open to other users"):
        runtime_folder({})
