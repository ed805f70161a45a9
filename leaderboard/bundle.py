"""The JavaScript of the site, out of the packages that carry it: nothing is ever loaded from a network."""

from __future__ import annotations

import importlib.resources
import re
from functools import cache
from pathlib import Path

from leaderboard.chart import vegalite_version

OWN = Path(__file__).parent / "assets"


@cache
def assets() -> dict[str, str]:
    """Every file of the site's `assets/` folder, by name.

    Raises:
        ValueError: if an installed package does not carry what it should.
    """
    own = {path.name: path.read_text(encoding="utf-8") for path in sorted(OWN.iterdir()) if path.is_file()}
    return {**own, "datatables.js": datatables(), "vega.js": vega()}


def datatables() -> str:
    """DataTables out of `itables`, as a classic script that sets `window.DataTable`.

    Browsers refuse to import a module from a `file://` page, so the module is wrapped into a function.

    Raises:
        ValueError: if the bundle is not a module with a default export.
    """
    source = importlib.resources.files("itables").joinpath("html/dt_bundle.js").read_text(encoding="utf-8")
    exports = re.search(r"\bexport\s*\{([^{}]*)\};?", source)
    default = re.search(r"([\w$]+) as default\b", exports[1]) if exports else None
    if exports is None or default is None:
        raise ValueError("the DataTables bundle of itables has another form than expected; install itables>=2.4,<3")
    body = f"{source[: exports.start()]};window.DataTable={default[1]};{source[exports.end() :]}"
    return f'(()=>{{"use strict";{body}\n}})();\n'


def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed out of `vl-convert-python`; sets `window.vegaEmbed`."""
    import vl_convert

    source: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=vegalite_version())
    return source
