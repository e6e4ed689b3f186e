"""The names that packages export: cheap to import, complete, named after their files, and documented."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import pydoc
import re
import subprocess
import sys

import pytest

import committee

DOCUMENTED = (
    "committee.backbones.sources",
    "committee.combiners",
    "committee.compression",
    "committee.engines",
    "committee.exporters",
    "committee.images.readers",
    "committee.inference",
    "committee.metrics",
    "committee.models",
    "committee.models.composites",
    "committee.models.fusions",
    "committee.predictions",
    "committee.predictions.files",
    "committee.pruning",
    "committee.scoring",
    "committee.training.plans",
    "committee.training.soups",
)
"""The packages whose public classes must have `Examples` and `See Also`: add one when its classes do."""


def packages() -> list[str]:
    found = pkgutil.walk_packages(committee.__path__, "committee.")
    names = [module.name for module in found if module.ispkg]
    return ["committee", *(name for name in names if hasattr(importlib.import_module(name), "__all__"))]


PACKAGES = packages()
FAMILIES = [name for name in PACKAGES if "family=True" in inspect.getsource(importlib.import_module(name))]


def exported(package: str) -> dict[str, object]:
    module = importlib.import_module(package)
    return {name: getattr(module, name) for name in module.__all__}


def test_importing_the_packages_imports_nothing_heavy() -> None:
    imports = "; ".join(f"import {name}; dir({name})" for name in PACKAGES)
    program = f"import sys; {imports}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    own = {name for name in done.stdout.split() if name not in sys.stdlib_module_names}
    assert not own & {"numpy", "torch", "torchvision", "timm", "scipy", "sklearn", "pydantic", "PIL", "rich"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_loads_and_help_lists_it(package: str) -> None:
    module = importlib.import_module(package)
    names = exported(package)
    page = pydoc.plain(pydoc.render_doc(module))
    assert names.keys() == set(dir(module))
    assert not [name for name in names if not re.search(rf"\b{name}\b", page)]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_exported_name_is_hidden_by_a_file_of_that_name(package: str) -> None:
    files = {module.name for module in pkgutil.iter_modules(importlib.import_module(package).__path__)}
    assert not files & exported(package).keys()


@pytest.mark.parametrize("package", FAMILIES)
def test_a_class_of_a_family_is_named_after_its_file(package: str) -> None:
    """`stacking_lr.py` holds `StackingLr`; a word for the family may follow, as in `FusionPlan`."""
    entries = {
        name: value.__module__.rpartition(".")[2]
        for name, value in exported(package).items()
        if inspect.isclass(value) and not value.__module__.endswith(".base")
    }
    assert entries
    for name, file in entries.items():
        assert re.fullmatch("".join(part.capitalize() for part in file.split("_")) + "(Plan|Source)?", name)


@pytest.mark.parametrize("package", DOCUMENTED)
@pytest.mark.parametrize("section", ["Examples", "See Also"])
def test_public_classes_have_examples_and_references(package: str, section: str) -> None:
    classes = [value for value in exported(package).values() if inspect.isclass(value)]
    assert classes
    heading = re.compile(rf"^{section}\n{'-' * len(section)}$", re.MULTILINE)
    assert not [each.__name__ for each in classes if not heading.search(inspect.getdoc(each) or "")]


API = (
    "committee",
    "committee.combiners",
    "committee.engines",
    "committee.exporters",
    "committee.metrics",
    "committee.models",
    "committee.pruning",
    "committee.scoring",
    "committee.trackers",
)
"""The packages whose pages the site has (scripts/docs_hooks.py)."""


@pytest.mark.parametrize("package", API)
def test_all_names_of_the_api_have_an_example(package: str) -> None:
    documented = [value for value in exported(package).values() if callable(value)]
    assert documented
    found = {each.__name__: inspect.getdoc(each) or "" for each in documented}
    assert not [name for name, text in found.items() if ">>> " not in text and "example" not in text]
