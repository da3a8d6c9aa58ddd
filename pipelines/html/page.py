"""Building blocks of one self-contained HTML page: no script, no network, readable in light and dark and on paper.

Every function returns HTML. Words from outside are escaped here; pass `Html` for what is already HTML.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

STYLE = """
:root{color-scheme:light dark;--bg:#fbfbfa;--panel:#fff;--ink:#1c1e21;--soft:#5f6672;--line:#e3e4e8;--accent:#1f5fd0;
--c0:#1f5fd0;--c1:#d9730d;--c2:#2a8a57;--c3:#8250c4;--c4:#7a808c;--c5:#c2413b;--warn:#fff6e5;--warn-line:#e0a93b}
@media(prefers-color-scheme:dark){:root{--bg:#14161a;--panel:#1c1f25;--ink:#e8e9ec;--soft:#a0a6b1;--line:#323640;
--accent:#82abff;--c0:#82abff;--c1:#f5a455;--c2:#62c792;--c3:#b894ee;--c4:#9aa1ad;--c5:#f08b84;--warn:#2e2817;
--warn-line:#a67c26}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header,main,footer{max-width:1080px;margin:auto;padding:0 24px}
header{padding-top:48px}
h1{font-size:34px;line-height:1.2;margin:0 0 8px}
h2{font-size:23px;margin:0 0 4px}
h3{font-size:17px;margin:26px 0 6px}
p{margin:8px 0;max-width:78ch}
.lead{font-size:18px;color:var(--soft)}
nav{margin:20px 0 4px;display:flex;flex-wrap:wrap;gap:4px 16px;font-size:14px}
a{color:var(--accent);text-decoration:none}a:hover{text-decoration:underline}
section{margin-top:44px;padding-top:22px;border-top:1px solid var(--line)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(160px,1fr));gap:12px;margin:20px 0}
.card{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.card b{display:block;font-size:27px;line-height:1.2;font-variant-numeric:tabular-nums}
.card span{font-size:14px}.card small{display:block;color:var(--soft)}
.table{overflow-x:auto;margin:14px 0;background:var(--panel);border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:14.5px}
th,td{padding:7px 14px;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}
th{font-size:13px;color:var(--soft);font-weight:600;white-space:nowrap}
.num{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td small{color:var(--soft);overflow-wrap:anywhere}
.bar{display:block;height:10px;border-radius:3px;background:var(--c0);min-width:2px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(440px,100%),1fr));gap:14px;margin:14px 0}
figure{margin:14px 0;background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:12px 14px}
.charts figure{margin:0}
figcaption{font-size:14.5px}figcaption small{color:var(--soft)}
figure img{display:block;width:100%;height:auto;border-radius:4px;margin-top:8px}
.gallery{display:grid;gap:14px;margin:14px 0}.gallery figure{margin:0}
.columns{display:grid;grid-auto-flow:column;grid-auto-columns:1fr;font-size:12.5px;color:var(--soft);text-align:center;
margin-top:8px}
details{margin:14px 0}summary{cursor:pointer;color:var(--accent);font-size:14.5px}
svg{display:block;width:100%;height:auto}
svg.chart{max-width:560px}
svg text{font-size:12px;fill:var(--soft)}svg text.strong{font-size:14px;font-weight:600;fill:var(--ink)}
svg .grid{stroke:var(--line)}svg line{stroke-width:1}svg.wide line:not(.grid){stroke-width:3;stroke-linecap:round}
svg .mark{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:5 4}
svg .whisker{stroke:var(--ink);stroke-width:1.4;fill:none}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:13px;margin:6px 0}
.legend i{display:inline-block;width:11px;height:11px;border-radius:3px;margin-right:6px}
.note{border-left:4px solid var(--accent);background:var(--panel);padding:10px 16px;margin:14px 0}
.note.limits{border-color:var(--warn-line);background:var(--warn)}
.note ul{margin:6px 0;padding-left:20px}
.absent{color:var(--soft);font-style:italic}
code,pre{font:13.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:12px 16px;overflow-x:auto}
footer{margin-top:48px;padding-bottom:48px;color:var(--soft);font-size:14px}
@media print{nav{display:none}section{break-inside:avoid}}
"""

MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """One heading and its blocks; without blocks it says that there is nothing."""

    key: str
    """Anchor in the page."""
    title: str
    blocks: Sequence[str]


def text(words: object) -> Html:
    """Escape words for HTML; HTML passes."""
    return words if isinstance(words, Html) else Html(escape(str(words)))


def page(title: str, lead: str, top: Sequence[str], sections: Sequence[Section], foot: str) -> str:
    """Put a whole page together."""
    links = "".join(f'<a href="#{s.key}">{text(s.title)}</a>' for s in sections if s.blocks)
    body = "".join(_section(s) for s in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{text(title)}</title><style>{STYLE}</style></head><body>"
        f'<header><h1>{text(title)}</h1><p class="lead">{text(lead)}</p>{"".join(top)}<nav>{links}</nav></header>'
        f"<main>{body}</main><footer>{text(foot)}</footer></body></html>\n"
    )


def _section(section: Section) -> str:
    blocks = "".join(section.blocks) or '<p class="absent">This stage has not run.</p>'
    return f'<section id="{section.key}"><h2>{text(section.title)}</h2>{blocks}</section>'


def paragraph(words: object) -> Html:
    """One paragraph."""
    return Html(f"<p>{text(words)}</p>")


def heading(words: str) -> Html:
    """Start a part of a section."""
    return Html(f"<h3>{text(words)}</h3>")


def cards(figures: Sequence[tuple[object, str, str]]) -> Html:
    """Show the few numbers that matter: value, what it counts, a remark."""
    inside = "".join(
        f'<div class="card"><b>{text(value)}</b><span>{text(label)}</span><small>{text(remark)}</small></div>'
        for value, label, remark in figures
    )
    return Html(f'<div class="cards">{inside}</div>')


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Html:
    """Show rows; numbers stand to the right."""
    columns = [[row[i] for row in rows if row[i] != ""] for i in range(len(head))]
    right = [bool(cells) and all(isinstance(cell, int | float) for cell in cells) for cells in columns]
    kinds = [' class="num"' if to_right else "" for to_right in right]
    top = "".join(f"<th{kind}>{text(word)}</th>" for word, kind in zip(head, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{_cell(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return Html(f'<div class="table"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>')


def _cell(cell: object) -> Html:
    """Print numbers with separators and few digits."""
    if isinstance(cell, bool):
        return Html("yes" if cell else "no")
    if isinstance(cell, int):
        return Html(f"{cell:,}")
    return Html(f"{cell:.3g}") if isinstance(cell, float) else text(cell)


def meter(share: float) -> Html:
    """Draw a bar inside a table cell."""
    return Html(f'<i class="bar" style="width:{100 * min(max(share, 0), 1):.1f}%"></i>')


def charts(*drawings: str) -> Html:
    """Set charts side by side; empty ones vanish."""
    return Html(f'<div class="charts">{"".join(drawings)}</div>' if any(drawings) else "")


def picture(file: Path, caption: object, *, columns: Sequence[str] = ()) -> Html:
    """Embed a PNG or JPEG; `columns` names the equally wide columns that it consists of."""
    media_type = MEDIA_TYPES.get(file.suffix.lower())
    if media_type is None or not file.is_file():
        return Html(f'<p class="absent">{text(caption)} (no picture at {text(file)})</p>')
    data = base64.b64encode(file.read_bytes()).decode()
    image = f'<img alt="{escape(str(caption), quote=True)}" src="data:{media_type};base64,{data}">'
    heads = "".join(f"<span>{text(name)}</span>" for name in columns)
    over = f'<div class="columns">{heads}</div>' if heads else ""
    return Html(f"<figure><figcaption>{text(caption)}</figcaption>{over}{image}</figure>")


def gallery(pictures: Sequence[str], *, at_least_px: int) -> Html:
    """Set pictures side by side, as many in a row as leave each so wide."""
    columns = f"grid-template-columns:repeat(auto-fill,minmax(min({at_least_px}px,100%),1fr))"
    return Html(f'<div class="gallery" style="{columns}">{"".join(pictures)}</div>' if pictures else "")


def folded(title: str, *blocks: str) -> Html:
    """Hide what few will want behind a line that opens."""
    return Html(f"<details><summary>{text(title)}</summary>{''.join(blocks)}</details>")


def note(words: object, items: Sequence[object] = (), *, limits: bool = False) -> Html:
    """Remark on something, or say what the numbers do not show."""
    listed = f"<ul>{''.join(f'<li>{text(item)}</li>' for item in items)}</ul>" if items else ""
    return Html(f'<div class="note{" limits" if limits else ""}">{text(words)}{listed}</div>')


def code(words: str) -> Html:
    """Commands to copy."""
    return Html(f"<pre>{text(words)}</pre>")
