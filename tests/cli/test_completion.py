"""Completion scripts: written by one command, and, for bash, run."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from committee.cli.main import verbs

CLI = Callable[..., Any]
bash = pytest.mark.skipif(which("bash") is None, reason="needs bash")


@pytest.fixture
def complete(cli: CLI, tmp_path: Path) -> Callable[..., list[str]]:
    """Return what bash offers for the last of the words given."""
    file = tmp_path / "completion.bash"
    file.write_text(cli("--show-completion", "bash").out, encoding="utf-8")

    def offered(*words: str) -> list[str]:
        line = shlex.join(("committee", *words))
        code = (
            f"source {file}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _committee; echo ${{COMPREPLY[@]}}"
        )
        done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout.split()

    return offered


@bash
def test_bash_completes_verbs_options_and_choices(complete: Callable[..., list[str]]) -> None:
    assert complete("lead") == ["leaderboard"]
    assert complete("") == list(verbs())
    assert complete("leaderboard", "--mo") == ["--model-name"]
    assert complete("predictions", "--split", "t") == ["test"]
    assert complete("run", "rec") == []  # left to readline, which completes names of files


@bash
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_scripts_are_valid_shell(cli: CLI, shell: str) -> None:
    text = cli("--show-completion", shell).out
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert all(f"{verb}" in text for verb in verbs())


def test_fish_has_a_line_for_each_verb_and_option(cli: CLI) -> None:
    lines = cli("--show-completion", "fish").out.splitlines()
    assert lines[0].startswith("# ") and all(line.startswith("complete -c committee ") for line in lines[1:])
    assert any(
        "__fish_seen_subcommand_from predictions' -l split -xa 'oof test val' -d" in line for line in lines
    )
    assert sum("__fish_use_subcommand" in line for line in lines) == len(verbs())


@pytest.mark.parametrize(
    ("shell", "place"),
    [
        ("bash", "data/bash-completion/completions/committee"),
        ("zsh", ".zfunc/_committee"),
        ("fish", "config/fish/completions/committee.fish"),
    ],
)
def test_install_writes_one_file_and_names_it(
    cli: CLI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, place: str
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    said = cli("--install-completion")
    assert said.code == 0 and said.out.splitlines()[0] == f"Wrote {tmp_path / place}."
    assert (tmp_path / place).read_text(encoding="utf-8") + "\n" == cli("--show-completion", shell).out


def test_an_unknown_shell_is_refused(cli: CLI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert cli("--install-completion").err == (
        "committee: --install-completion: expected one of bash, zsh, fish, got 'tcsh'. "
        "Name the shell: committee --install-completion bash\n"
    )
    assert cli("--show-completion", "zhs").err.endswith("got 'zhs'. Did you mean 'zsh'?\n")
    assert cli("--show-completion", "bash", "zsh").code == 2
