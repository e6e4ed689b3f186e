"""The frame of the command line: help, verbs, exit codes, errors of one line."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from types import ModuleType

import pytest

from committee import _version
from committee.cli import main as frame
from committee.errors import DataError

VERBS = frame.verbs()
DOCUMENTED = {
    "adopt",
    "build-ensemble",
    "combine",
    "debug",
    "discover",
    "evaluate",
    "export",
    "fusion-train",
    "init",
    "leaderboard",
    "meta-fuse",
    "moe-train",
    "predict",
    "predictions",
    "prune",
    "run",
    "schema",
    "stack",
    "train",
}


def verb(does) -> ModuleType:
    """A verb `try` that runs `does`."""
    module = ModuleType("committee.cli.try")
    module.__doc__ = "Try something.\n\nAt length."
    module.add_arguments = lambda parser: parser.add_argument("--times", type=int)
    module.run = does
    return module


@pytest.fixture
def trying(monkeypatch, cli):
    """Run `committee try` with a verb that runs the function given."""

    def attempt(does, *words: str):
        monkeypatch.setattr(frame, "verbs", lambda: ("try",))
        monkeypatch.setattr(frame, "verb_of", lambda name: verb(does))
        return cli("try", *words)

    return attempt


def fail(error: BaseException):
    def run(arguments: Namespace) -> int:
        raise error

    return run


def test_all_verbs_are_there() -> None:
    assert set(VERBS) >= DOCUMENTED and list(VERBS) == sorted(VERBS)


def test_help_lists_every_verb_with_its_summary(cli) -> None:
    said = cli("--help")
    assert said.code == 0
    assert "  init            Write a commented starter recipe\n" in said.out
    assert all(f"  {name} " in said.out for name in VERBS)
    assert cli().out == said.out


def test_help_groups_the_verbs(cli) -> None:
    lines = cli("--help").out.splitlines()
    headings = [line[:-1] for line in lines if line and line[0] not in " u" and line.endswith(":")]
    assert headings == [*frame.GROUPS, "Options"]
    for verb, group in (("init", "Start"), ("predict", "Results"), ("train", frame.GROUPS[1])):
        place = next(n for n, line in enumerate(lines) if line.startswith(f"  {verb} "))
        assert (
            max(
                headings,
                key=lambda each: lines[:place].index(f"{each}:") if f"{each}:" in lines[:place] else -1,
            )
            == group
        )


def test_each_summary_is_one_line_of_a_terminal(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = cli("--help").out.splitlines()
    assert sum(line.startswith("   ") for line in lines) == 3, "only the names of two options take a line"
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("columns", [72, 80, 120])
def test_help_fits_the_terminal(cli, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in ([], *([verb] for verb in VERBS)):
        text = cli(*words, "--help").out
        assert max(map(len, text.splitlines())) <= columns, text


def test_version(cli) -> None:
    assert cli("--version").out == f"committee {_version.__version__}\n"


@pytest.mark.parametrize("words", [[], *[[name] for name in VERBS]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom committee.cli.main import main\n"
        f"assert main({[*words, '--help']!r}) == 0\n"
        "heavy = {'torch', 'numpy', 'pydantic', 'rich', 'ruamel', 'sklearn', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True)


def test_a_module_is_a_program_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "committee", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("committee ")


def test_an_unknown_verb_is_answered_with_the_nearest(cli) -> None:
    said = cli("trian")
    assert said.code == 2
    assert (
        said.err
        == f"committee: verb: expected one of {', '.join(VERBS)}, got 'trian'. Did you mean 'train'?\n"
    )


def test_an_unknown_option_is_one_sentence(trying) -> None:
    said = trying(lambda arguments: 0, "--tims", "3")
    assert (said.code, said.err) == (
        2,
        "committee: try: unrecognized arguments: --tims 3. See: committee try --help\n",
    )


def test_a_setting_without_its_option_is_told_where_to_stand(cli) -> None:
    said = cli("run", "recipe.yaml", "dataset.name=digits")
    assert (said.code, said.err) == (
        2,
        "committee: run: unrecognized arguments: dataset.name=digits. Settings follow --set: --set "
        "dataset.name=digits. See: committee run --help\n",
    )


def test_the_exit_code_is_that_of_the_verb(trying) -> None:
    assert trying(lambda arguments: arguments.times, "--times", "3").code == 3


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (DataError("photos", got="none"), 1, "committee: photos: got none.\n"),
        (
            KeyboardInterrupt(),
            130,
            "committee: interrupted; completed results are stored, and the same command resumes from "
            "there.\n",
        ),
        (
            OSError(28, "No space left on device", "store/x"),
            1,
            "committee: No space left on device: store/x.\n",
        ),
        (OSError("odd"), 1, "committee: odd.\n"),
    ],
)
def test_errors_are_one_line(trying, error: BaseException, code: int, sentence: str) -> None:
    said = trying(fail(error))
    assert (said.code, said.err) == (code, sentence)


def test_verbose_adds_the_traceback(trying) -> None:
    said = trying(fail(DataError("photos", got="none")), "-v")
    assert said.err.startswith("Traceback")
    assert said.err.endswith("committee: photos: got none.\n")


def test_a_bug_is_not_hidden(trying) -> None:
    with pytest.raises(ZeroDivisionError):
        trying(fail(ZeroDivisionError()))


def test_loudness_is_logging(trying) -> None:
    def speak(arguments: Namespace) -> int:
        logger = logging.getLogger("committee.some.place")
        logger.debug("whisper")
        logger.info("talk")
        logger.error("cry")
        return 0

    assert trying(speak).err == "talk\ncry\n"
    assert trying(speak, "-v").err == "whisper\ntalk\ncry\n"
    assert trying(speak, "-q").err == "cry\n"


def test_messages_on_a_terminal_are_remembered(trying, monkeypatch: pytest.MonkeyPatch) -> None:
    def log(arguments: Namespace) -> int:
        logging.getLogger("committee.some.place").error("cry")
        return 0

    trying(log)
    assert set() == frame.LOGGED
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    trying(log)
    assert {"cry"} == frame.LOGGED
    trying(lambda arguments: 0)
    assert set() == frame.LOGGED


@pytest.mark.skipif(os.name == "nt", reason="pipes close otherwise there")
def test_a_closed_pipe_is_quiet() -> None:
    code = "import sys\nfrom committee.cli.main import main\nsys.exit(main(['schema']))"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_closed_output_is_one_sentence(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as closed:
        closed.setattr(sys, "stdout", None)
        assert frame.main(["leaderboard"]) == 2
    assert capsys.readouterr().err == (
        "committee: standard output: expected an open stream, got a closed one. "
        "Discard it with: > /dev/null\n"
    )


def test_a_closed_error_output_keeps_the_answer(capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert frame.main(["leaderbord"]) == 2
    with sys.stderr:  # the discarded messages
        monkeypatch.undo()
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt", reason="a working directory cannot be removed there")
def test_a_deleted_working_directory_is_one_sentence(cli, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    said = cli("leaderboard", "--store", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "committee: working directory: expected a folder that exists, got one that was deleted. "
        "Change to another folder, then run the command again.\n"
    )


def test_the_old_way_to_call_it_still_works(tmp_path: Path) -> None:
    script = Path(frame.__file__).parents[3] / "ensemble_orchestrator.py"
    done = subprocess.run(
        [sys.executable, script, "train", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("usage: committee train")


def test_every_verb_says_what_its_arguments_are_for() -> None:
    for name in VERBS:
        parser = frame._parser(name)
        assert isinstance(parser, ArgumentParser)
        assert all(action.help for action in parser._actions), name


def test_reading_a_store_imports_no_torch() -> None:
    """`discover` and `leaderboard` answer in a fraction of the time that the import of torch takes."""
    code = (
        "import sys, committee.pipeline.discover, committee.report.leaderboard, committee.report.details;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_messages_appear_once_although_a_package_sets_up_the_root_logger(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, ours = logging.getLogger(), logging.getLogger("committee")
    for logger in (root, ours):
        monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(ours, "propagate", True)
    frame._set_up_logging(verbose=False, quiet=False)
    logging.basicConfig()
    ours.error("a sentence")
    assert capsys.readouterr().err == "a sentence\n"
