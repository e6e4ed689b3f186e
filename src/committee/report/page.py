"""The report as one HTML file, which loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from committee._version import __version__
from committee.base.text import count
from committee.errors import CommitteeError, printable
from committee.recipe.model import CostBudget
from committee.report.blocks import Block, Chart, Details, Row, Text
from committee.report.charts.drawing import EXTRA, script
from committee.report.charts.theme import CONFIG, key
from committee.report.facts import Facts
from committee.report.sections.base import SECTIONS, ReportSection
from committee.store.commit import write_file
from committee.store.copies import address_of
from committee.store.layout import Store

log = logging.getLogger(__name__)

FILE = "report.html"
"""Name of the report in the folder of a store."""
TEMPLATES = Path(__file__).with_name("templates")
NOT_DRAWN = (
    "The charts are not drawn, because their packages are not installed: the sentences and tables say "
    f"the same. To have them, run: pip install 'committee[{EXTRA}]', and then: committee report"
)


@dataclass(frozen=True)
class Part:
    """A section of a page."""

    key: str
    title: str
    blocks: Sequence[Block]


def write_report(
    store: Store | str | Path,
    path: str | Path,
    metric: str | None = None,
    budget: CostBudget | None = None,
) -> Path:
    """Write the report of a store: one HTML file, made from stored results.

    Parameters
    ----------
    store : Store, str or Path
        A store with evaluated models.
    path : str or Path
        The file, which is replaced.
    metric : str, optional
        The metric that ranks the models; by default that of their task.
    budget : CostBudget, optional
        The budget of the recommendation.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    StoreError
        No model was evaluated and no member failed, or the file cannot be written.
    UnknownNameError
        There is no such metric.

    See Also
    --------
    committee.report.sections.base.ReportSection : One section; a new one is one file.

    Examples
    --------
    >>> import committee
    >>> committee.write_report("store", "report.html")  # doctest: +SKIP
    """
    facts = Facts(Store.of(store), metric, budget)
    title, subtitle = _titles(facts)
    write_file(Path(path), rendered(title, subtitle, parts_of(facts)).encode())
    return Path(path)


def parts_of(facts: Facts) -> list[Part]:
    """Return the sections of a store, in their order; one that cannot be made says why."""
    sections = sorted(map(SECTIONS.make, SECTIONS.names()), key=lambda each: each.order)
    found = [Part(each.key, each.title, _blocks(each, facts)) for each in sections]
    return [part for part in found if part.blocks]


def rendered(title: str, subtitle: str, parts: Sequence[Part]) -> str:
    """Return a page with these sections."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    charts = [chart for part in parts for chart in _charts(part.blocks)]
    drawn = [chart for chart in charts if chart.spec is not None]
    scripts = [_asset("script.js")]
    if drawn:
        scripts.append(f"{script()}\n{_asset('charts.js')}".replace("</script", r"<\/script"))
    style = _asset("style.css")
    return environment.get_template("page.html").render(
        title=title,
        subtitle=subtitle,
        sections=parts,
        style=Markup(style),
        style_hash=_hash(style),
        scripts=[{"text": Markup(text), "hash": _hash(text)} for text in scripts],
        drawn=bool(drawn),
        not_drawn="" if len(drawn) == len(charts) else NOT_DRAWN,
        config=CONFIG,
        version=__version__,
        key=key,
    )


def _charts(blocks: Sequence[Block]) -> Iterator[Chart]:
    for block in blocks:
        if isinstance(block, Chart):
            yield block
        elif isinstance(block, Row):
            yield from block.charts
        elif isinstance(block, Details):
            yield from _charts(block.blocks)


def _blocks(section: ReportSection, facts: Facts) -> list[Block]:
    try:
        return list(section.blocks(facts)) if section.applies(facts) else []
    except (CommitteeError, LookupError, TypeError, ValueError, AttributeError, OSError) as error:
        # One damaged file, or a report of an earlier version, must not hide the rest.
        log.debug("section %s", section.key, exc_info=error)
        log.warning("report: the section %s is left out: %s", section.key, error)
        return [Text(f"This section could not be made: {printable(str(error))}", "warning")]


def _titles(facts: Facts) -> tuple[str, str]:
    record = facts.record
    name = (record.name if record is not None else "") or PurePosixPath(
        address_of(facts.store.root.resolve())
    ).name
    models = [count(len(facts.singles), "member"), count(len(facts.ensembles), "ensemble")]
    images = [] if record is None else [count(len(record.ids), "image")]
    return printable(name), ", ".join([*images, *models, f"store {facts.store}"])


def _breakable(text: str) -> Markup:
    """Return a name that may be broken after each underscore and slash."""
    return Markup(re.sub(r"([_/])", r"\1<wbr>", str(escape(text))))


def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
