"""The command line: one file of this folder is one verb.

A verb module holds a docstring, whose first line is its summary, `add_arguments(parser)` and
`run(arguments) -> int`, the exit code. It imports what is heavy inside `run`, so that help answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from committee._version import __version__
from committee.base.interrupt import EXIT_CODE, SENTENCE, handled
from committee.errors import CommitteeError, UsageError, nearest

_DESCRIPTION = "Train, combine, compress and ship ensembles of deep vision models."
_PIPE_CLOSED = 141


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence, like those of everything else here."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.split()[-1]}: {message}", todo=f"See: {self.prog} --help")


class _Speaker(logging.Handler):
    """Says messages on what is stderr at that moment: progress bars put themselves in between."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def verbs() -> tuple[str, ...]:
    """Return all verbs, sorted: the files of this folder, with dashes for underscores."""
    package = importlib.import_module("committee.cli")
    names = (module.name for module in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name.replace("_", "-") for name in names if name != "main" and name[0] != "_"))


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"committee.cli.{verb.replace('-', '_')}")


def _lines(module: ModuleType) -> list[str]:
    return (module.__doc__ or "").strip().splitlines()


def _overview() -> str:
    lines = [f"usage: committee VERB [...]    committee VERB --help\n\n{_DESCRIPTION}\n\nverbs:"]
    lines += [f"  {verb:<16}{_lines(_module(verb))[0].rstrip('.')}" for verb in verbs()]
    return "\n".join(
        [*lines, "\noptions:", "  --version       print the version", "  --help          print this"]
    )


def _parser(verb: str) -> argparse.ArgumentParser:
    module = _module(verb)
    parser = _Parser(
        prog=f"committee {verb}",
        description="\n".join(_lines(module)),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="say more, with tracebacks")
    parser.add_argument("-q", "--quiet", action="store_true", help="say errors only, show no progress")
    return parser


def _set_up_logging(verbose: bool, quiet: bool) -> None:
    logger = logging.getLogger("committee")
    logger.setLevel(logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO)
    if not any(isinstance(each, _Speaker) for each in logger.handlers):
        logger.addHandler(_Speaker())


def _run(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if argv[0] == "--version":
        print(f"committee {__version__}")
        return 0
    if argv[0] not in verbs():
        raise UsageError(
            "verb",
            expected=f"one of {', '.join(verbs())}",
            got=f"'{argv[0]}'",
            todo=nearest(argv[0], verbs()),
        )
    arguments = _parser(argv[0]).parse_args(argv[1:])
    _set_up_logging(arguments.verbose, arguments.quiet)
    return int(_module(argv[0]).run(arguments))


def _complain(sentence: str, verbose: bool) -> None:
    if verbose:
        traceback.print_exc()
    print(f"committee: {sentence}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code.

    Returns
    -------
    int
        0 done, 1 failure, 2 wrong usage, 3 done in part, 130 interrupted.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    # GNU OpenMP's threads spin while they wait. On a machine that others use too, small networks then train
    # ten times slower and more; a short spin costs a tenth on an idle one.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    verbose = bool({"-v", "--verbose"} & set(argv))
    try:
        with handled():
            code = _run(argv)
            sys.stdout.flush()
    except SystemExit as stop:  # how argparse ends --help
        return int(stop.code or 0)
    except CommitteeError as error:
        _complain(str(error), verbose)
        return error.exit_code
    except KeyboardInterrupt:
        _complain(SENTENCE, verbose)
        return EXIT_CODE
    except BrokenPipeError:
        # The reader of our output left; the interpreter would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except OSError as error:
        _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.", verbose)
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
