"""Write docs/reference/command-line.md and recipe.md from the parsers and the recipe's models.

    python scripts/write_reference.py

`tests/test_reference.py` fails where the pages are not what this script writes.
"""

from __future__ import annotations

import json
import re
from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic_core import PydanticUndefined

from committee.cli.main import verb_of, verbs
from committee.recipe.model import FORMATS, Recipe
from committee.recipe.overrides import SHORT
from committee.recipe.schema import schema
from committee.recipe.section import Section
from committee.recipe.training import Model, Override

FORMATS_OF_LATER, SECTIONS_OF_LATER = FORMATS, ("distillation",)
LATER = {*SECTIONS_OF_LATER, "mlp_config", "xgb_config", "rf_config"}
FOLDER = Path(__file__).parents[1] / "docs" / "reference"
NOTE = "<!-- Written by scripts/write_reference.py: change the source, then run the script again. -->\n"

COMMANDS = """# Command line

`committee VERB [...]`. `committee VERB --help` prints what is below.

Every verb takes `-v`/`--verbose` (say more, with tracebacks) and `-q`/`--quiet` (errors only, no
progress bars). `committee --version` prints the version. Exit codes:
[errors and exit codes](errors-and-exit-codes.md).
"""

RECIPE = """# Recipe

A recipe is a YAML 1.2 file: `3e-4` is a number, and a class called `no` stays text. Every key has a default,
so a recipe needs only what differs. `committee init` writes a commented starter, `committee schema` prints
the JSON Schema for editors. A misspelled key or value is an error that names file, line, column and the nearest
name.

How recipes and `--set` work together: [recipes and overrides](../how-to/recipes-and-overrides.md).
"""


def command_line() -> str:
    """Return the page of all verbs."""
    parts = [NOTE, COMMANDS]
    for verb in verbs():
        module = verb_of(verb)
        parser = ArgumentParser(prog=f"committee {verb}", add_help=False)
        module.add_arguments(parser)
        parts.append(f"## {verb}\n\n{_escaped((module.__doc__ or '').strip())}\n\n{_usage(verb, parser)}")
    return "\n".join(parts)


def _usage(verb: str, parser: ArgumentParser) -> str:
    shown = [action for action in parser._actions if action.help != SUPPRESS]
    if not shown:
        return f"`committee {verb}` takes no arguments of its own.\n"
    words = " ".join(_word(action) for action in shown if not action.option_strings)
    line = f"`committee {verb}{' ' + words if words else ''} [OPTIONS]`\n\n"
    return line + _table(
        ("argument", "meaning"), ([f"`{_written(action)}`", _cell(action.help or "")] for action in shown)
    )


def _word(action: Action) -> str:
    name = str(action.metavar or action.dest)
    return {"?": f"[{name}]", "+": f"{name} ..."}.get(str(action.nargs), name)


def _written(action: Action) -> str:
    if not action.option_strings:
        return _word(action)
    value = "" if action.nargs == 0 else f" {action.metavar or _choices(action) or action.dest.upper()}"
    return f"{', '.join(action.option_strings)}{value}{' ...' if action.nargs == '+' else ''}"


def _choices(action: Action) -> str:
    return f"{{{','.join(map(str, action.choices))}}}" if action.choices else ""


def recipe() -> str:
    """Return the page of all keys of a recipe."""
    short = ", ".join(f"`{key}` (`{section}.{key}`)" for key, section in SHORT.items())
    parts = [NOTE, RECIPE, *_sections(Recipe, ""), *_of_one_member()]
    parts.append(
        "## Short form\n\nThese keys may stand at the top of the recipe, for those of a section: "
        f"{short}. A value given twice and differently is an error.\n"
    )
    parts.append(_later())
    return "\n".join(parts)


def _sections(section: type[Section], path: str) -> Iterator[str]:
    """Yield the table of a section, and those of the sections in it."""
    fields = [name for name in section.model_fields if name not in LATER]
    plain = [name for name in fields if not _inner(section, name)]
    if plain:
        summary = (section.__doc__ or "").partition("\n\n")[0]
        yield f"## {path or 'Top level'}\n\n{summary}\n\n" + _keys(section, plain)
    for name in fields:
        inner = _inner(section, name)
        if inner:
            yield from _sections(inner, f"{path}.{name}".lstrip("."))


def _inner(section: type[Section], name: str) -> type[Section] | None:
    """Return the class of a key that is a section, also where it may be null."""
    kind = section.model_fields[name].annotation
    for each in (kind, *getattr(kind, "__args__", ())):
        if isinstance(each, type) and issubclass(each, Section) and getattr(kind, "__origin__", None) is None:
            return each
    return None


def _of_one_member() -> Iterator[str]:
    own = [name for name in Model.model_fields if name not in Override.model_fields]
    yield (
        f"## models[]\n\n{(Model.__doc__ or '').strip()} Further keys are those of `overrides`.\n\n"
        + _keys(Model, own)
    )
    sizes = ["img_size", "batch_size"]
    yield (
        "## overrides.NAME\n\nWhat differs for one backbone or member: every key of `training` but `folds`, "
        "and these. What is said nearest wins: `training`, then `overrides`, then the entry of `models`.\n\n"
    ) + _keys(Override, sizes)


def _later() -> str:
    names = [name if name in Recipe.model_fields else f"runs.{name}" for name in SECTIONS_OF_LATER]
    names += [f"runs.stacking.meta_learners: {name}" for name in ("xgb", "rf", "mlp")]
    formats = ", ".join(f"`{name}`" for name in FORMATS_OF_LATER)
    return (
        "## Accepted, not built yet\n\nA recipe may have these sections. They are named before anything runs,"
        " the rest runs, and the exit code is 3: "
        f"{', '.join(f'`{name}`' for name in names)}. The same holds for the export formats {formats}.\n"
    )


def _keys(section: type[Section], names: Iterable[str]) -> str:
    described = schema()["$defs"]
    properties = Recipe.model_json_schema()["properties"] if section is Recipe else None
    properties = properties or described[section.__name__]["properties"]
    rows = []
    for name in names:
        field = section.model_fields[name]
        key = field.alias or name
        rows.append([f"`{key}`", _kind(properties[key]), _default(field), _cell(field.description or "")])
    return _table(("key", "value", "default", "meaning"), rows)


def _kind(value: Mapping[str, Any]) -> str:
    """Return what a value may be, in words, from its JSON Schema."""
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_kind(each) for each in value["anyOf"]))
    if "enum" in value:
        return ", ".join(f"`{each}`" for each in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "$ref" in value:
        return "mapping"
    if value.get("type") == "array":
        return f"list of: {_kind(value['items'])}"
    if value.get("type") == "object":
        return f"mapping from name to: {_kind(value['additionalProperties'])}"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    if value["type"] == "null":
        return "null"
    return words[value["type"]] + _limits(value)


def _limits(value: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    found = [f"{sign} {value[key]:g}" for key, sign in signs.items() if key in value and value[key] < 2**62]
    return f" {', '.join(found)}" if found else ""


def _default(field: Any) -> str:
    value = field.get_default(call_default_factory=True)
    return "(needed)" if value is PydanticUndefined else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_plain(each) for each in value)}]"
    if isinstance(value, Section):
        given = value.model_dump(exclude_unset=True)
        return str(next(iter(given.values()))) if len(given) == 1 else json.dumps(given)
    return value if isinstance(value, str) else json.dumps(value)


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(columns), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split()).replace("|", "\\|"))


def _escaped(text: str) -> str:
    """Return text in which `<` outside code begins no HTML."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("<", "&lt;") for part in parts)


PAGES = {"command-line.md": command_line, "recipe.md": recipe}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8", newline="\n")
        print(FOLDER / name)
