"""The look of the page: two typefaces that every system has, one accent, and room."""

from __future__ import annotations

_LIGHT = """
--paper: #fdfcfa; --ink: #1d1f21; --soft: #5c6166; --hair: #dfdcd5; --panel: #f5f3ee; --accent: #1f5f8b;
--c1: #1f5f8b; --c2: #b4511c; --c3: #3b7350; --c4: #7a4a8c; --c5: #8a6d1c; --bad: #a32a2a; --good: #2f6b45;
"""
_DARK = """
--paper: #16181b; --ink: #e6e4df; --soft: #a0a3a6; --hair: #34373b; --panel: #1e2125; --accent: #7fb4dc;
--c1: #7fb4dc; --c2: #eb9c66; --c3: #84c29a; --c4: #c79ad8; --c5: #d8bd6a; --bad: #ee8a84; --good: #84c29a;
"""
_COLOURS = "\n".join(
    f".chart .line.c{n}, .chart .faint.c{n} {{ stroke: var(--c{n}) }} "
    f".chart .dot.c{n}, .chart .label.name.c{n}, .chart .label.value.c{n} {{ fill: var(--c{n}) }}"
    for n in range(1, 6)
)

STYLE = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
* {{ box-sizing: border-box }}
html {{ -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-behavior: smooth }}
body {{ margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif;
  font-variant-numeric: lining-nums tabular-nums }}
main {{ max-width: 1120px; margin: 0 auto; padding: 3.5rem 2rem 4rem }}
h1, h2 {{ font-family: "Iowan Old Style", "Palatino Linotype", Palatino, "Book Antiqua", Georgia, "Liberation Serif", serif;
  font-weight: 600; letter-spacing: -0.01em; text-wrap: balance }}
h1 {{ font-size: clamp(2rem, 1.4rem + 2.4vw, 3rem); line-height: 1.1; margin: 0.3rem 0 1rem; overflow-wrap: anywhere }}
h2 {{ font-size: 1.5rem; line-height: 1.2; margin: 0 0 1.2rem; padding-top: 0.9rem; border-top: 1px solid var(--hair) }}
h3 {{ font-size: 0.95rem; margin: 1.5rem 0 0.5rem }}
section {{ margin-top: 3rem }}
p {{ margin: 0.8rem 0; max-width: 68ch; text-wrap: pretty }}
.eyebrow {{ margin: 0; color: var(--soft); font-size: 0.8rem; letter-spacing: 0.08em; text-transform: uppercase }}
.state {{ margin-left: 0.6em; padding: 0.1em 0.65em 0.15em; border: 1px solid currentColor; border-radius: 1em;
  color: var(--accent) }}
.state.finished {{ color: var(--good) }}
.state.failed, .state.lost {{ color: var(--bad) }}
.lead {{ font-size: 1.15rem; line-height: 1.5; overflow-wrap: anywhere }}
.unseen {{ position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }}
nav {{ display: flex; flex-wrap: wrap; gap: 0.3rem 1.3rem; margin: 1.6rem 0 0; font-size: 0.9rem }}
a {{ color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: 0.2em }}
.figures {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); margin: 0;
  border-top: 2px solid var(--ink); border-bottom: 1px solid var(--hair) }}
.figures div {{ padding: 0.9rem 1rem 0.9rem 0 }}
.figures dt {{ color: var(--soft); font-size: 0.82rem }}
.figures dd {{ margin: 0 }}
.figures .value {{ font-size: 1.7rem; line-height: 1.25; letter-spacing: -0.02em; white-space: nowrap }}
.figures .note {{ margin: 0 }}
.note {{ color: var(--soft); font-size: 0.82rem; line-height: 1.4 }}
.charts {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 2.2rem 2.6rem }}
figure {{ margin: 0 }}
.curve figcaption {{ margin-bottom: 0.4rem; font-size: 0.95rem }}
.curve .unit {{ color: var(--soft); margin-left: 0.3em; font-size: 0.85rem }}
.curve .note {{ margin: 0.2rem 0 0 }}
.chart {{ display: block; width: 100%; height: auto; overflow: visible }}
.chart text {{ font-size: 11.5px; fill: var(--soft); font-family: inherit }}
.chart .grid {{ stroke: var(--hair); stroke-width: 1; shape-rendering: crispEdges }}
.chart .mark {{ stroke: var(--soft); stroke-width: 1; stroke-dasharray: 1 3 }}
.chart .level {{ stroke: var(--soft); stroke-width: 1; stroke-dasharray: 5 4 }}
.chart path {{ fill: none; stroke-linejoin: round; stroke-linecap: round }}
.chart .line {{ stroke-width: 1.8 }}
.chart .faint {{ stroke-width: 1; opacity: 0.28 }}
.chart.bundle .line {{ stroke-width: 1; opacity: 0.45 }}
.chart .dot {{ stroke: var(--paper); stroke-width: 1 }}
.chart .label.name {{ font-weight: 600 }}
.chart .label.value {{ font-variant-numeric: tabular-nums }}
.chart .label.quiet {{ fill: var(--soft); font-weight: 400 }}
{_COLOURS}
.wide {{ overflow-x: auto; margin: 0.8rem 0 1.4rem }}
table {{ border-collapse: collapse; font-size: 0.9rem; line-height: 1.45 }}
th {{ text-align: left; font-weight: 600; color: var(--soft); font-size: 0.8rem; border-bottom: 1px solid var(--ink) }}
th, td {{ padding: 0.32rem 1.4rem 0.32rem 0; vertical-align: top; overflow-wrap: anywhere; min-width: 5.5rem }}
td.n, th.n {{ min-width: 3.5rem }}
td {{ border-bottom: 1px solid var(--hair) }}
th:last-child, td:last-child {{ padding-right: 0 }}
td.n, th.n {{ text-align: right; white-space: nowrap }}
.pairs thead {{ display: none }}
.pairs tr:first-child td {{ border-top: 1px solid var(--hair) }}
.pairs td:first-child {{ color: var(--soft); min-width: 14rem }}
pre {{ margin: 0.6rem 0; padding: 0.85rem 1rem; background: var(--panel); border-radius: 4px; overflow-x: auto; max-width: 100%;
  font: 0.84rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; tab-size: 4 }}
code {{ font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: 0.92em }}
pre code {{ font-size: inherit }}
.sample {{ margin: 0 0 1.2rem }}
.sample pre {{ white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid var(--accent); border-radius: 0 4px 4px 0 }}
.sample b {{ font-weight: 700; color: var(--accent) }}
.sample figcaption {{ color: var(--soft); font-size: 0.82rem }}
details {{ margin: 0.6rem 0 }}
summary {{ cursor: pointer; color: var(--accent); font-size: 0.9rem; width: fit-content }}
.twin summary {{ font-size: 0.78rem }}
.twin table {{ font-size: 0.8rem }}
:focus-visible {{ outline: 2px solid var(--accent); outline-offset: 2px }}
footer {{ margin-top: 3.5rem; padding-top: 0.9rem; border-top: 1px solid var(--hair); color: var(--soft); font-size: 0.85rem }}
@media (max-width: 640px) {{
  body {{ font-size: 15.5px }}
  main {{ padding: 1.8rem 1.1rem 3rem }}
  section {{ margin-top: 2.3rem }}
  .figures {{ grid-template-columns: repeat(2, 1fr) }}
  .figures .value {{ font-size: 1.4rem }}
  .chart text {{ font-size: 14px }}
  th, td {{ padding-right: 0.9rem }}
  .pairs td:first-child {{ min-width: 6.5rem }}
}}
@media print {{
  :root {{ {_LIGHT} --paper: #fff }}
  @page {{ margin: 16mm 15mm }}
  body {{ font-size: 9.5pt }}
  main {{ max-width: none; padding: 0 }}
  nav, .twin, .screen {{ display: none }}
  footer {{ break-before: avoid }}
  section {{ margin-top: 1.6rem }}
  h2 {{ break-after: avoid; font-size: 14pt; margin-bottom: 0.7rem }}
  figure, tr, .figures div {{ break-inside: avoid }}
  .figures {{ grid-template-columns: repeat(4, 1fr) }}
  .figures .value {{ font-size: 15pt }}
  .charts {{ grid-template-columns: 1fr 1fr; gap: 1.1rem 1.6rem }}
  .wide {{ overflow: visible }}
  .chart text {{ font-size: 13.5px }}
  pre {{ white-space: pre-wrap; overflow-wrap: anywhere; font-size: 8pt }}
  details > summary {{ list-style: none; color: var(--ink); font-weight: 600 }}
  details::details-content {{ content-visibility: visible; display: block }}
  a {{ color: inherit; text-decoration: none }}
}}
"""
