"""Import of the models that trainers left: networks are adopted, predictions without networks are stored."""

from __future__ import annotations

from collections.abc import Sequence

from committee.errors import (
    CommitteeError,
    DataError,
    UnknownNameError,
    UsageError,
    first_five,
    nearest,
)
from committee.images.dataset import Dataset, preview_dataset
from committee.models.slugs import slugs
from committee.pipeline.adopt import folds_to_draw
from committee.pipeline.importing.content import Content, content_of
from committee.pipeline.importing.files import EXPORTED, Files, is_store
from committee.pipeline.importing.folds import folds_of_files, take_folds
from committee.pipeline.importing.one import Model, adopt_model, store_model
from committee.pipeline.importing.wanted import Imported, Wanted
from committee.pipeline.layouts.base import LAYOUTS, Found, recognize
from committee.recipe.members import slug
from committee.recipe.model import Recipe
from committee.store.layout import Store


def import_models(
    recipe: Recipe, store: Store, files: Files, wanted: Wanted | None = None, *, dry_run: bool = False
) -> tuple[list[Imported], dict[str, str]]:
    """Import the models that the layouts recognize.

    Parameters
    ----------
    recipe : Recipe
        The images, if the store has no data set yet, and the device.
    store : Store
        The store of the members and predictions.
    files : Files
        The files of the trainers.
    wanted : Wanted, optional
        What their files do not say.
    dry_run : bool
        Whether to recognize, read and compare everything, but to store nothing.

    Returns
    -------
    list of Imported
        The models; one that cannot be imported does not stop the others.
    dict of str to str
        Path -> reason, for files of networks or predictions that are not used.

    Raises
    ------
    UsageError
        The folder is a store of committee, or no model has a name that `wanted` contains.
    DataError
        No layout recognizes anything.

    See Also
    --------
    committee.pipeline.layouts.base.recognize : Only recognize the models.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.pipeline.importing.files import Files
    >>> from committee.pipeline.importing.models import import_models
    >>> from committee.recipe.load import load_recipe
    >>> from committee.store.layout import Store
    >>> with tempfile.TemporaryDirectory() as root:
    ...     table = Path(root, "oof", "resnet18.csv")
    ...     table.parent.mkdir()
    ...     _ = table.write_text("id,cat,dog,label\\nx,0.9,0.1,cat\\ny,0.2,0.8,dog\\n")
    ...     files, store = Files(Path(root)), Store(Path(root, "store"))
    ...     models, _ = import_models(load_recipe(None, []), store, files)
    >>> models[0].name, models[0].state
    ('resnet18', 'stored')
    """
    if files.root is not None and is_store(files.root):
        raise UsageError(
            str(files.root),
            expected="a folder that another trainer left",
            got="a store of committee",
            todo=f"Its members need no import: committee leaderboard --store {files.root.as_posix()}",
        )
    found = recognize(files)
    if not found:
        titles = [str(LAYOUTS.load(name).title) for name in LAYOUTS.names()]
        raise DataError(
            str(files.root or "import"),
            expected=f"what a trainer leaves ({', '.join(titles)})",
            got=f"{len(files.all)} files, no checkpoint or table of predictions by their names",
            todo="Name the folder that contains them.",
        )
    wanted = wanted or Wanted()
    dataset, lacking = _dataset(recipe, store)
    contents = [content_of(next(iter(each.networks.values()), None)) for each in found]
    names = _names(found, contents, files)
    _check_named(wanted, [*names, *(each.name for each in found)])
    models = [
        Model(name, each, content, files, dataset, wanted)
        for name, each, content in zip(names, found, contents, strict=True)
    ]
    if dataset is not None:
        drawn, dataset = dataset, folds_of_files(store, dataset, [each.held_out for each in models])
        if dataset is not drawn and not dry_run:
            sides = [wanted.size, *(model.settings.size for model in found), recipe.dataset.img_size]
            take_folds(recipe, store, dataset, next(filter(None, sides)))
    done = [_one(model, recipe, store, dataset, lacking, dry_run) for model in models]
    return done, _left_out(files, found)


def _dataset(recipe: Recipe, store: Store) -> tuple[Dataset | None, str]:
    """Return the data set without its images, or None and the reason if neither recipe nor store has one."""
    try:
        folds = folds_to_draw(recipe, store)
        return preview_dataset(recipe.dataset, store, folds=folds, seed=recipe.seed), ""
    except UsageError as error:
        if recipe.dataset.is_named:
            raise
        return None, str(error)


def _names(found: Sequence[Found], contents: Sequence[Content], files: Files) -> list[str]:
    """Return a different name for each model: its own, or that of its architecture or folder."""
    root = files.root.resolve().name if files.root else "model"
    given = [
        model.name or content.settings.backbone or model.settings.backbone or root
        for model, content in zip(found, contents, strict=True)
    ]
    return slugs([slug(name) for name in given])


def _check_named(wanted: Wanted, names: Sequence[str]) -> None:
    """Raise UnknownNameError if the user names the architecture of a model that was not found."""
    for name in wanted.backbones:
        if name and name not in names:
            raise UnknownNameError(
                "--backbone",
                expected=f"a model among {first_five(dict.fromkeys(filter(None, names)))}",
                got=f"'{name}'",
                todo=nearest(name, names),
            )


def _one(
    model: Model, recipe: Recipe, store: Store, dataset: Dataset | None, lacking: str, dry_run: bool
) -> Imported:
    """Adopt the networks of a model, or store its predictions; an error is noted."""
    result = model.result
    try:
        if not model.found.networks:
            store_model(model, store, dataset, dry_run)
        elif model.content.problem or dataset is None:
            result.notes.append(model.content.problem or lacking)
        else:
            adopt_model(model, recipe, store, dataset, dry_run)
    except CommitteeError as error:
        result.notes.append(str(error))
    return result


def _left_out(files: Files, found: Sequence[Found]) -> dict[str, str]:
    passed = {path: why for model in found for path, why in model.passed_over.items()}
    exported = {
        path: "an exported file has no weights to adopt; predict with it, and import the predictions"
        for path in files.free
        if path.name.lower().endswith(EXPORTED)
    }
    return {
        path.relative_to(files.top(path)).as_posix(): why for path, why in sorted((passed | exported).items())
    }
