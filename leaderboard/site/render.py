"""Pages from templates: all that is put into them is escaped, and numbers look alike."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from knowncircuits.leaderboard.site.drawing import heat_cell, interval_svg, number_cell

FOLDER = Path(__file__).parent
# Nothing but the site's own files. `file:` since pages that are opened as files have no origin;
# inline styles are plotly's.
POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'; "
    "img-src 'self' file: data:; base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True, eq=False)
class Page:
    """A page of the site."""

    path: str  # from the site's folder
    template: str
    context: Mapping[str, Any]


def render(page: Page, shared: Mapping[str, Any]) -> str:
    """The page's text."""
    root = "../" * page.path.count("/")
    template = environment().get_template(page.template)
    here = page.path.removesuffix(".html")
    text = template.render(**shared, **page.context, root=root, here=here, policy=POLICY)
    return text.rstrip("\n") + "\n"


@cache
def environment() -> Environment:
    """Templates with their filters; an undefined name is an error."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "magnitude": magnitude_text,
        "option": _option,
        "percent": _percent,
        "raw": _raw,
        "score": score_text,
        "script": script_json,
        "short": short_text,
        "span": _span,
        "value": value_text,
    }
    made.globals |= {"bar": interval_svg, "heat": heat_cell, "number": number_cell}
    return made


def script_json(data: Any) -> Markup:
    """JSON that may stand in a script element: no `<` can end it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def number_or_none(value: float, digits: int) -> float | None:
    """A number rounded as texts are; None, which JSON has, for NaN, which it has not."""
    return None if math.isnan(value) else float(f"{value:.{digits}f}")


def score_text(value: float | None) -> str:
    """A number with three digits."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def magnitude_text(value: float | None) -> str:
    """A number of any size, with two digits."""
    return "–" if value is None else f"{value:.2g}"


def short_text(value: float) -> str:
    """Three digits that matter, and thousands apart; very little is only said to be so."""
    if math.isnan(value):
        return "–"
    if 0 < value < 0.001:
        return "<0.001"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def size_text(n_bytes: int) -> str:
    """The size of a file."""
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e6 else f"{max(1, round(n_bytes / 1e3))} kB"


def value_text(value: Any) -> str:
    """A value of a program; nothing where there is none."""
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def rank_text(low: float, high: float) -> str:
    """A range of ranks."""
    if math.isnan(low):
        return "–"
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def _span(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{low:.3f}–{high:.3f}"


def _raw(value: float) -> str:
    """For sorting; nothing where there is no number."""
    return "" if math.isnan(value) else f"{value:.6g}"


def signed_text(value: float) -> str:
    """A difference with three digits."""
    return f"{'+' if value > 0 else '−' if value < 0 else ''}{abs(value):.3f}"


def probability_text(value: float) -> str:
    """A p-value."""
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"


def _percent(value: float | None) -> str:
    """A percentage, rounded down: 100 is only what is 100."""
    return "–" if value is None else f"{int(value * 1e5) / 1e3:g}%"


def _option(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
