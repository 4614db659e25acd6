"""Pages opened in a real browser, where there is one."""

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
OFFLINE = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]

in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium to look at the page")


def dump(page: Path, state: str, profile: Path) -> str:
    """The document that a browser makes of a page, after its scripts; fails where one of them fails."""
    command = [
        CHROMIUM or "",
        *QUIET,
        *OFFLINE,
        f"--user-data-dir={profile}",
        "--virtual-time-budget=3000",
        "--dump-dom",
    ]
    found = subprocess.run([*command, f"{page.as_uri()}{state}"], capture_output=True, text=True, timeout=120)
    assert "<!DOCTYPE html>" in found.stdout, found.stderr
    assert 'data-error="' not in found.stdout.split("<head>")[0], found.stdout[:300]
    return found.stdout


def driven(page: Path, script: str, profile: Path) -> dict[str, str]:
    """What a script said (``say(key, value)``) that ran in a page after the page's own."""
    say = "const say = (key, value) => { document.body.dataset[key] = value; };"
    path = page.with_name("driven.html")
    path.write_text(page.read_text().replace("</body>", f"<script>{say}{script}</script></body>"))
    (body,) = re.findall("<body[^>]*>", dump(path, "", profile))
    return {key: unescape(value) for key, value in re.findall(r'data-(\w+)="([^"]*)"', body)}
