"""Predictions and detectors as a notebook shows them: HTML that asks for no other file and runs no script."""

from collections.abc import Sequence
from html import escape

from zsad.drawing.render import ANCHORS
from zsad.wording import printable

SIDE = 360
"""Longer side of an image in px."""
BOX = (
    "display:inline-block;max-width:100%;padding:10px 14px;border:1px solid #d5d8de;border-radius:6px;"
    "background:#fff;color:#181b21;font:13px/1.45 system-ui,sans-serif;text-align:left"
)
QUIET = "color:#686e7a"
BADGES = {True: ("anomalous", "#b3261e"), False: ("normal", "#1b6e3c"), None: ("not calibrated", "#686e7a")}
"""Words and colour of each decision; white letters on it have a contrast of at least 4.5 to 1."""


def card(
    title: str,
    is_anomalous: bool | None,
    facts: Sequence[str],
    pictures: Sequence[tuple[str, str]],
    threshold: float | None,
) -> str:
    """A prediction.

    Args:
        title: what it is about; all text is escaped.
        is_anomalous: the decision; None without one.
        facts: score and the like, in words.
        pictures: what each shows, and its data URI.
        threshold: that of pixels, marked on the scale; None where there is none.
    """
    words, colour = BADGES[is_anomalous]
    badge = f'<span style="padding:1px 8px;border-radius:9px;background:{colour};color:#fff">{words}</span>'
    line = f'<div><b>{escape(printable(title))}</b> {badge}</div><div style="{QUIET}">{escape(" · ".join(facts))}</div>'
    shown = "".join(
        f'<figure style="display:inline-block;margin:8px 8px 0 0;vertical-align:top"><img src="{uri}" '
        f'alt="{escape(what)}" style="max-width:100%"><figcaption style="{QUIET}">{escape(what)}</figcaption></figure>'
        for what, uri in pictures
    )
    return f'<div style="{BOX}">{line}{shown}{scale(threshold)}</div>'


def scale(threshold: float | None) -> str:
    """The colours of anomaly from 0 to 1, with a mark at a threshold."""
    colours = ",".join(f"rgb{colour}" for colour in ANCHORS)
    mark = ""
    if threshold is not None:
        mark = (
            f'<span title="pixel threshold {threshold:.3g}" style="position:absolute;left:{100 * threshold:.1f}%;'
            f'top:-3px;width:2px;height:18px;background:#181b21;outline:1px solid #fff"></span>'
        )
    said = f"Anomaly, fixed scale{'' if threshold is None else f'; mark: pixel threshold {threshold:.3g}'}"
    numbers = "".join(f"<span>{value:g}</span>" for value in (0, 0.25, 0.5, 0.75, 1))
    return (
        f'<div style="margin-top:10px;max-width:{SIDE}px"><div style="position:relative;height:12px;'
        f'background:linear-gradient(to right,{colours})">{mark}</div>'
        f'<div style="display:flex;justify-content:space-between">{numbers}</div>'
        f'<div style="{QUIET}">{said}</div></div>'
    )


def table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """A detector: its name, and what there is to say of it."""
    lines = "".join(
        f'<tr><th style="text-align:left;padding:1px 16px 1px 0;font-weight:normal;{QUIET}">{escape(name)}</th>'
        f'<td style="text-align:left;padding:1px 0">{escape(printable(value))}</td></tr>'
        for name, value in rows
    )
    head, style = f"<b>{escape(printable(title))}</b>", "border:0;margin-top:4px;font:inherit;color:inherit"
    return f'<div style="{BOX}">{head}<table style="{style}">{lines}</table></div>'
