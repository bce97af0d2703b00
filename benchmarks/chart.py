"""The chart of docs/performance.md as SVG, drawn from the results with nothing but text.

Bars are seconds, ours dark; the line is what the factors at the right are of.
"""

from __future__ import annotations

from html import escape
from typing import Any

__all__ = ["draw"]

WIDTH, LEFT, RIGHT, BAR, GAP = 860, 250, 140, 20, 8
PLAIN = {
    "ours": "Zhixin: verified, notarised",
    "ours-pure": "Zhixin without the kernel",
    "ours-unchanged": "Zhixin, nothing changed",
    "raw": "plain copy (ADBC → Parquet)",
    "connectorx": "connectorx → Parquet",
    "dlt-connectorx": "dlt, connectorx",
    "dlt-connectorx-stream": "dlt, connectorx in batches",
    "dlt-pyarrow": "dlt, pyarrow",
    "pandas": "pandas.read_sql → Parquet",
    "great-expectations": "Great Expectations, rules alone",
    "openssl": "openssl dgst -sha256",
    "model-signing": "model-signing 1.1.1, verify",
    "verify": "zhixin verify",
    "verify-home": "zhixin verify, standing too",
}
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2937 }
  .title { font-weight: 600 }
  .peer { fill: #9ca3af }
  .ours { fill: #0f766e }
  .mark { stroke: #b45309; stroke-width: 1.5; stroke-dasharray: 4 3 }
  .ground { fill: #ffffff }
"""


def draw(summary: dict[str, Any]) -> str:
    """The chart: the runs, and the gate where it was measured."""
    sections = summary["sections"]
    panels = []
    if "run" in sections:
        told = f"{sections['run']['records']:,} flights from PostgreSQL to Parquet, seconds"
        panels.append((told, sections["run"]["medians"], "seconds", "raw"))
    if "gate" in sections:
        told = f"{sections['gate']['bytes'] / 1e9:.2f} GB verified, start included, seconds"
        panels.append((told, sections["gate"]["medians"], "process_s", "openssl"))
    lines, top = [], 16
    for title, medians, figure, base in panels:
        drawn, top = _panel(top, title, medians, figure, base)
        lines += drawn
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" '
            f'width="{WIDTH}" height="{top}" role="img">',
            "<title>Zhixin beside its peers: median seconds</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="ground" width="{WIDTH}" height="{top}"/>',
            *lines,
            "</svg>\n",
        ]
    )


def _panel(
    top: int, title: str, medians: dict[str, dict[str, float]], figure: str, base: str
) -> tuple[list[str], int]:
    """One group of bars from ``top`` on, the shortest first; gives the lines and where it ends."""
    taken = {name: medians[name][figure] for name in PLAIN if figure in medians.get(name, {})}
    scale = (WIDTH - LEFT - RIGHT) / max(taken.values())
    lines = [f'<text class="title" x="16" y="{top + 14}">{escape(title)}</text>']
    begin = y = top + 28
    for name in sorted(taken, key=lambda each: taken[each]):
        value, factor = taken[name], taken[name] / taken[base]
        kind = "ours" if name.startswith(("ours", "verify")) else "peer"
        length = value * scale
        lines += [
            f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(PLAIN[name])}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}"/>',
            f'<text x="{WIDTH - 70}" y="{y + 15}" text-anchor="end">{value:.2f} s</text>',
            f'<text x="{WIDTH - 16}" y="{y + 15}" text-anchor="end">{factor:.2f}×</text>',
        ]
        y += BAR + GAP
    mark = LEFT + taken[base] * scale
    lines.append(f'<line class="mark" x1="{mark:.1f}" x2="{mark:.1f}" y1="{begin}" y2="{y}"/>')
    return lines, y + 12
