"""The command line. Each file of this folder adds a verb, and so does each stage of a run.

A verb module contains a docstring, whose first line is the summary of the verb, `GROUP`, its heading in
`committee --help`, `add_arguments(parser)` and `run(arguments) -> int`, which returns the exit code. Heavy
imports are inside `run`, so that help is printed at once.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import pkgutil
import re
import shutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Protocol, cast

from committee._version import __version__
from committee.base.interrupt import EXIT_CODE, SENTENCE, handled
from committee.cli._output import LOGGED
from committee.cli._stage_verb import StageVerb, stage_verbs
from committee.cli._table import wrap
from committee.errors import CommitteeError, UsageError, nearest

_DESCRIPTION = "Train, combine, compress and ship ensembles of deep vision models."
_STAGES = "Stages of a recipe, one at a time"
GROUPS = ("Start", _STAGES, "Results", "Networks and predictions from elsewhere", "Other")
_OPTIONS = {
    "--help": "print this help",
    "--version": "print the version",
    "--install-completion [SHELL]": "let the shell complete verbs and options (bash, zsh, fish)",
    "--show-completion [SHELL]": "print the completion script instead of installing it",
}
_SUMMARY_COLUMN = 18
_PIPE_CLOSED = 141


class _HelpFormatter(argparse.HelpFormatter):
    """Help whose paragraphs and option texts are wrapped between words to the width of the terminal."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = (" ".join(each.split()) for each in text.split("\n\n"))
        return "\n\n".join("\n".join(wrap(each, width)) for each in paragraphs)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return list(wrap(" ".join(text.split()), width))


class _Parser(argparse.ArgumentParser):
    """A parser that reports wrong arguments as a UsageError."""

    def error(self, message: str) -> NoReturn:
        todo = f"See: {self.prog} --help"
        setting = re.match(r"unrecognized arguments: ([\w.]+=\S*)", message)
        if setting and "--set" in self._option_string_actions:
            todo = f"Settings follow --set: --set {setting[1]}. {todo}"
        raise UsageError(f"{self.prog.split()[-1]}: {message}", todo=todo)


class _StderrHandler(logging.Handler):
    """Write messages to the current `sys.stderr`, which a progress bar replaces while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        print(text, file=sys.stderr)
        if sys.stderr.isatty():
            LOGGED.add(text)


class Verb(Protocol):
    """A module of this folder, or a `StageVerb`."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments of the verb to its parser."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the verb and return its exit code."""


def verbs() -> tuple[str, ...]:
    """Return all verbs, sorted: files of this folder, with dashes for underscores, and stages."""
    return tuple(sorted({*_files(), *stage_verbs()}))


def _files() -> set[str]:
    package = importlib.import_module("committee.cli")
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return {name.replace("_", "-") for name in names if name != "main" and name[0] != "_"}


def verb_of(name: str) -> Verb:
    """Return the module of a verb, or the verb that its stages make."""
    if name in _files():
        return cast("Verb", importlib.import_module(f"committee.cli.{name.replace('-', '_')}"))
    return StageVerb(name)


def _lines(module: Verb) -> list[str]:
    return (module.__doc__ or "").strip().splitlines()


def _overview() -> str:
    """Return the text of `committee --help`."""
    groups: dict[str, dict[str, str]] = {group: {} for group in GROUPS}
    modules = {verb: verb_of(verb) for verb in verbs()}
    for verb, module in sorted(modules.items(), key=lambda each: getattr(each[1], "order", 0)):
        groups[getattr(module, "GROUP", _STAGES)][verb] = _lines(module)[0].rstrip(".")
    parts = [f"usage: committee VERB [OPTIONS]\n       committee VERB --help\n\n{_DESCRIPTION}"]
    parts += [_listed(group, summaries) for group, summaries in [*groups.items(), ("Options", _OPTIONS)]]
    return "\n\n".join(parts)


def _listed(heading: str, summaries: Mapping[str, str]) -> str:
    """Return a heading and, below it, names and their summaries in two columns."""
    width = shutil.get_terminal_size().columns - _SUMMARY_COLUMN
    lines = [f"{heading}:"]
    for name, summary in summaries.items():
        first, *rest = wrap(summary, width)
        start = f"  {name}"
        if len(start) > _SUMMARY_COLUMN - 2:
            lines.append(start)
            start = ""
        lines.append(start.ljust(_SUMMARY_COLUMN) + first)
        lines += [" " * _SUMMARY_COLUMN + line for line in rest]
    return "\n".join(lines)


def _parser(verb: str) -> argparse.ArgumentParser:
    module = verb_of(verb)
    parser = _Parser(
        prog=f"committee {verb}",
        description="\n".join(_lines(module)),
        allow_abbrev=False,
        formatter_class=_HelpFormatter,
    )
    module.add_arguments(parser)
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="print more messages, and tracebacks of errors"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print only errors, and show no progress")
    return parser


def _set_up_logging(verbose: bool, quiet: bool) -> None:
    LOGGED.clear()
    logger = logging.getLogger("committee")
    logger.setLevel(logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO)
    if not any(isinstance(each, _StderrHandler) for each in logger.handlers):
        logger.addHandler(_StderrHandler())
        # Packages that are imported later may set up the root logger, which would print all messages again.
        logger.propagate = logging.getLogger().hasHandlers()


def _run(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if argv[0] == "--version":
        print(f"committee {__version__}")
        return 0
    if argv[0] in ("--install-completion", "--show-completion"):
        return _complete(argv)
    if argv[0] not in verbs():
        raise UsageError(
            "verb",
            expected=f"one of {', '.join(verbs())}",
            got=f"'{argv[0]}'",
            todo=nearest(argv[0], verbs()),
        )
    arguments = _parser(argv[0]).parse_args(argv[1:])
    _require_working_directory()
    _set_up_logging(arguments.verbose, arguments.quiet)
    return int(verb_of(argv[0]).run(arguments))


def _require_output() -> None:
    """Raise UsageError if standard output is closed; discard messages if standard error is.

    The next file that is opened would otherwise have their number, and get what native code prints.
    """
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        raise UsageError(
            "standard output",
            expected="an open stream",
            got="a closed one",
            todo="Discard it with: > /dev/null",
        )


def _require_working_directory() -> None:
    """Raise UsageError if the working directory was deleted, in which libraries cannot be loaded."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UsageError(
            "working directory",
            expected="a folder that exists",
            got="one that was deleted",
            todo="Change to another folder, then run the command again.",
        ) from None


def _complete(argv: Sequence[str]) -> int:
    """Print the completion script of a shell, or install it."""
    from committee.cli._completion import install, script, shell_of

    shell = shell_of(argv)
    text = script(shell, {verb: _parser(verb) for verb in verbs()})
    print(text if argv[0] == "--show-completion" else install(shell, text))
    return 0


def _print_error(sentence: str, verbose: bool) -> None:
    if verbose:
        traceback.print_exc()
    print(f"committee: {sentence}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default, those of the process.

    Returns
    -------
    int
        0: done; 1: failed; 2: wrong usage; 3: done in part; 130: interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    # Waiting threads of GNU OpenMP spin by default. On a machine with other load, small networks then train
    # ten times slower or worse; with a short spin, training on an idle machine takes a tenth longer.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    verbose = bool({"-v", "--verbose"} & set(argv))
    try:
        _require_output()
        with handled():
            code = _run(argv)
            sys.stdout.flush()
    except SystemExit as stop:  # raised by argparse after --help
        return int(stop.code or 0)
    except CommitteeError as error:
        _print_error(str(error), verbose)
        return error.exit_code
    except KeyboardInterrupt:
        _print_error(SENTENCE, verbose)
        return EXIT_CODE
    except BrokenPipeError:
        # The reader has closed the output. The interpreter would report that again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except OSError as error:
        _print_error(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.", verbose)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
