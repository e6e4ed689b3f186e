"""Which library draws the charts of the report: the size and the seconds of a page of twenty charts.

Each page works offline, so it has the script of its library. A page is made in a process of its own, and its
seconds include the import of the library, as in `committee report`. Interactive pages of Plotly and Bokeh are
compared with those of Altair, which the report uses, and with pictures of matplotlib, which need no script.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import Row, absent, installed, main, spread

CHARTS, POINTS = 20, 240
START = f"""
import sys, time
start = time.perf_counter()
charts, path = int(sys.argv[1]), sys.argv[2]
xs = list(range({POINTS}))
ys = [(x * 7 % 13) / 13 for x in xs]
"""
END = """
open(path, "w", encoding="utf-8").write(text)
print(time.perf_counter() - start)
"""
OURS = "altair"
PAGES = {
    OURS: """
from committee.report.charts.axes import Axis
from committee.report.charts.drawing import script
from committee.report.charts.lines import Line, lines
import json
specs = [lines([Line("fit", xs, ys)], Axis("epoch"), Axis("loss")) for _ in range(charts)]
text = script() + json.dumps(specs)
""",
    "plotly": """
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
figures = [go.Figure(go.Scatter(x=xs, y=ys)) for _ in range(charts)]
text = get_plotlyjs() + "".join(each.to_html(full_html=False, include_plotlyjs=False) for each in figures)
""",
    "bokeh": """
from bokeh.embed import file_html
from bokeh.layouts import column
from bokeh.plotting import figure
from bokeh.resources import INLINE
figures = [figure(width=440, height=250) for _ in range(charts)]
for each in figures:
    each.line(xs, ys)
text = file_html(column(figures), INLINE)
""",
    "matplotlib": """
import io
from matplotlib.figure import Figure
text = ""
for _ in range(charts):
    drawn, file = Figure(figsize=(5, 3)), io.StringIO()
    drawn.add_subplot().plot(xs, ys)
    drawn.savefig(file, format="svg")
    text += file.getvalue()
""",
}


def measure(quick: bool) -> list[Row]:
    """Return the rows."""
    charts, rounds = (2, 1) if quick else (CHARTS, 5)
    work = f"{charts} charts of a line with {POINTS} points, 1 thread"
    names = [name for name in PAGES if installed(name)]
    if OURS not in names:
        return [absent("report: a page of charts", work, OURS, None, OURS)]
    with tempfile.TemporaryDirectory() as folder:
        # The libraries take turns, so that a busy machine slows all of them down.
        found = [{name: _page(name, charts, Path(folder)) for name in names} for _ in range(rounds)]
    taken = statistics.median(each[OURS][0] for each in found)
    size = found[0][OURS][1]
    rows = [
        Row("report: seconds of a page of charts", work, "", taken),
        Row("report: size of a page of charts", work, "", size, unit="MB"),
    ]
    for name in PAGES:
        if name == OURS:
            continue
        if name not in names:
            rows.append(absent(rows[0].question, work, name, None, name))
            continue
        seconds = spread([each[name][0] / each[OURS][0] for each in found])
        more = found[0][name][1] / size
        rows.append(Row(rows[0].question, work, name, taken, *seconds))
        rows.append(Row(rows[1].question, work, name, size, more, more, more, unit="MB"))
    return rows


def _page(name: str, charts: int, folder: Path) -> tuple[float, float]:
    """Return the seconds and the megabytes of a page."""
    path = folder / f"{name}.html"
    program = START + PAGES[name] + END
    command = [sys.executable, "-c", program, str(charts), str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1]), path.stat().st_size / 1e6


if __name__ == "__main__":
    main(measure, packages=("altair", "vl-convert-python", "plotly", "bokeh", "matplotlib"))
