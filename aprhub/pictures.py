"""Pictures of measures, drawn by matplotlib, which comes with `aprhub[plot]`."""

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from aprhub.errors import EnvironmentFailureError, TargetExistsError, UsageError
from aprhub.fidelity import Fidelity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS: Final = (".html", ".png")

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
{picture}
</html>
"""


def require_drawable(path: Path, *, force: bool = False) -> None:
    """Refuse a picture that could not be drawn, before anything is measured.

    Raises UsageError for another ending than `.html` or `.png` and for a file that
    exists, EnvironmentFailureError without matplotlib.
    """
    if path.suffix.lower() not in KINDS:
        raise UsageError(
            f"{path}: no picture is drawn into such a file; give it a name that ends in"
            f" {' or '.join(KINDS)}"
        )
    if path.exists() and not force:
        raise TargetExistsError(path)
    if find_spec("matplotlib") is None:
        what = "pictures need matplotlib; install it with: pip install 'aprhub[plot]'"
        raise EnvironmentFailureError(what)


def draw_fidelity(found: Fidelity, path: Path) -> None:
    """Write a picture: the decibels of each tensor, by role and layer."""
    _draw(_figure(found), path, "Fidelity by role and layer")


def draw_losses(events: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write a picture: the losses of a training in nats per token, by step.

    Events are those of its journal.
    """
    _draw(_curves(events), path, "Losses by step")


def _draw(figure: "Figure", path: Path, title: str) -> None:
    is_png = path.suffix.lower() == ".png"
    path.write_bytes(_png(figure) if is_png else _page(figure, title))


def _curves(events: Sequence[Mapping[str, Any]]) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for key, label, style in (
        ("loss", "training", {"linewidth": 0.8}),
        ("val_loss", "validation", {"marker": "o", "linewidth": 2}),
    ):
        points = [(each["step"], each[key]) for each in events if key in each]
        steps, losses = zip(*points, strict=True) if points else ((), ())
        axes.plot(steps, losses, label=label, **style)
    axes.set_xlabel("step")
    axes.set_ylabel("loss, nats per token")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _png(figure: "Figure") -> bytes:
    room = io.BytesIO()
    figure.savefig(room, format="png", dpi=150)
    return room.getvalue()


def _page(figure: "Figure", title: str) -> bytes:
    import matplotlib

    room = io.BytesIO()
    # Without a date and with the same salt, the same measures give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": "aprhub"}):
        figure.savefig(room, format="svg", metadata={"Date": None})
    svg = room.getvalue().decode()
    return _PAGE.format(title=title, picture=svg[svg.index("<svg") :]).encode()


def _figure(found: Fidelity) -> "Figure":
    from matplotlib.figure import Figure

    roles = list(dict.fromkeys(each.place[0] for each in found.tensors))
    layers = 1 + max((each.place[1] or 0 for each in found.tensors), default=0)
    size = (3.5 + 0.3 * layers, 1.5 + 0.3 * len(roles))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(_grid(found, roles, layers), aspect="auto")
    axes.set_yticks(range(len(roles)), roles)
    axes.set_xlabel("layer")
    axes.set_title(f"signal to noise, {found.total.snr_db:.1f} dB over all tensors")
    figure.colorbar(image, label="dB; empty: equal, or no such tensor")
    return figure


def _grid(found: Fidelity, roles: Sequence[str], layers: int) -> "np.ma.MaskedArray":
    """Return the decibels as (roles, layers); what has none, or no end, is masked."""
    grid = np.full((len(roles), layers), np.nan)
    for each in found.tensors:
        role, layer = each.place
        grid[roles.index(role), layer or 0] = each.snr_db
    return np.ma.masked_invalid(grid)
