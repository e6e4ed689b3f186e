"""Shell completion: static scripts for bash, zsh and fish, generated from the parsers of the verbs."""

from __future__ import annotations

import os
import re
import shlex
from argparse import Action, ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from committee.errors import UsageError, nearest

Parsers = Mapping[str, ArgumentParser]


def shell_of(argv: Sequence[str]) -> str:
    """Return the shell that follows an option such as `--install-completion`, or that of `$SHELL`.

    Raises
    ------
    UsageError
        The shell is unknown, or more arguments follow.
    """
    option, *rest = argv
    found = rest[0] if rest else Path(os.environ.get("SHELL", "")).name
    if len(rest) > 1 or found not in _SCRIPTS:
        raise UsageError(
            option,
            expected=f"one of {', '.join(_SCRIPTS)}",
            got=f"'{' '.join(rest) or found}'",
            todo=nearest(found, _SCRIPTS) or f"Name the shell: committee {option} bash",
        )
    return found


def script(shell: str, parsers: Parsers) -> str:
    """Return the completion script of a shell for verbs with these parsers."""
    header = f"Completion of committee for {shell}, written by: committee --install-completion {shell}"
    return _SCRIPTS[shell](header, parsers)


def install(shell: str, text: str) -> str:
    """Write a completion script to the folder of the user that the shell reads; return a message about it."""
    place, activation = _places()[shell]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    return f"Wrote {place}.\n{activation}"


def _places() -> dict[str, tuple[Path, str]]:
    """Return, for each shell, the file of its completion script and how to make the shell read it."""
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    bash = data / "bash-completion" / "completions" / "committee"
    zsh = home / ".zfunc" / "_committee"
    fish = config / "fish" / "completions" / "committee.fish"
    return {
        "bash": (
            bash,
            "New shells read it if the package bash-completion is installed. Otherwise, add this line to "
            f"~/.bashrc:\n  source {shlex.quote(str(bash))}",
        ),
        "zsh": (
            zsh,
            "Add these lines to ~/.zshrc, before any other line with compinit, and start a new shell:\n"
            "  fpath+=(~/.zfunc)\n  autoload -Uz compinit && compinit",
        ),
        "fish": (fish, "New shells read it."),
    }


def _options(parser: ArgumentParser) -> Iterator[tuple[str, Action]]:
    """Yield each name of each option, such as `-v` and `--verbose`, with the option."""
    for action in parser._actions:
        for name in action.option_strings:
            yield name, action


def _summary(parser: ArgumentParser) -> str:
    return (parser.description or "").partition("\n")[0].rstrip(".")


def _words(items: Iterable[object]) -> str:
    return " ".join(map(str, items))


def _bash(header: str, parsers: Parsers) -> str:
    options, choices = [], []
    for verb, parser in parsers.items():
        options.append(f'{verb}) words="{_words(name for name, _ in _options(parser))}" ;;')
        choices += [
            f'"{verb} {name}") words="{_words(action.choices)}" ;;'
            for name, action in _options(parser)
            if action.choices
        ]
    indent = "\n" + " " * 12
    return f"""\
# {header}
_committee() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}} words=""
    if [[ $COMP_CWORD -eq 1 ]]; then
        words="{_words(parsers)}"
    elif [[ $current == -* ]]; then
        case ${{COMP_WORDS[1]}} in
            {indent.join(options)}
        esac
    else
        case "${{COMP_WORDS[1]}} $previous" in
            {indent.join(choices)}
        esac
    fi
    COMPREPLY=()
    if [[ -n $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$current"))
    fi
}}
# If nothing matches, readline completes file names.
complete -o default -F _committee committee"""


def _zsh(header: str, parsers: Parsers) -> str:
    verbs, cases = [], []
    for verb, parser in parsers.items():
        verbs.append(_zsh_quoted(f"{verb}:{_summary(parser)}"))
        arguments = [_zsh_argument(name, action) for name, action in _options(parser)]
        listed = " \\\n                ".join(["_arguments", *arguments, "'*:file:_files'"])
        cases.append(f"{verb})\n            {listed} ;;")
    indent = "\n" + " " * 8
    return f"""\
#compdef committee
# {header}
_committee() {{
    local -a verbs
    verbs=(
        {indent.join(verbs)}
    )
    if (( CURRENT == 2 )); then
        _describe verb verbs
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
        {indent.join(cases)}
    esac
}}
_committee "$@\""""


def _zsh_argument(name: str, action: Action) -> str:
    """Return the argument of `_arguments` for an option: name, help, and what completes its value."""
    value = ""
    if action.nargs != 0:
        words = f"({_words(action.choices)})" if action.choices else "_files"
        value = f":{_zsh_escaped(str(action.metavar or action.dest))}:{words}"
    return _zsh_quoted(f"*{name}[{_zsh_escaped(action.help or '')}]{value}")


def _zsh_escaped(text: str) -> str:
    return re.sub(r"([\\\[\]:])", r"\\\1", _words(text.split()))


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish(header: str, parsers: Parsers) -> str:
    lines = [f"# {header}"]
    for verb, parser in parsers.items():
        summary = _fish_quoted(_summary(parser))
        lines.append(f"complete -c committee -f -n __fish_use_subcommand -a {verb} -d {summary}")
        lines += [_fish_option(verb, name, action) for name, action in _options(parser)]
    return "\n".join(lines)


def _fish_option(verb: str, name: str, action: Action) -> str:
    flag = f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
    if action.choices:
        flag += f" -xa {_fish_quoted(_words(action.choices))}"
    elif action.nargs != 0:
        flag += " -r"
    shown = f"-n '__fish_seen_subcommand_from {verb}' {flag} -d {_fish_quoted(action.help or '')}"
    return f"complete -c committee {shown}"


def _fish_quoted(text: str) -> str:
    escaped = _words(text.split()).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_SCRIPTS: dict[str, Callable[[str, Parsers], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
