"""Opens a report in Chromium and looks at it as a reader would: wide and narrow, light and dark, on paper.

Speaks the DevTools protocol over a pipe, with the standard library alone. Fails when the page asks
the network for anything, runs a script, scrolls sideways on a phone, breaks its own content security
policy, is blank, or looks the same in the dark.
"""

import base64
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

PATIENCE_SECONDS = 120
VIEWS = [("desktop", 1200, 900), ("phone", 390, 844)]
SCHEMES = ["light", "dark"]


class Browser:
    """Chromium without a window, spoken to over file descriptors 3 and 4."""

    def __init__(self, chromium, profile):
        to_browser, self.out = os.pipe()
        self.back, from_browser = os.pipe()

        def descriptors():
            os.dup2(to_browser, 3)
            os.dup2(from_browser, 4)

        arguments = [
            chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--disable-default-apps", f"--user-data-dir={profile}", "about:blank",
        ]
        # The pipes' own numbers may be 3 and 4 already, so both are moved out of the way first.
        to_browser, from_browser = [os.dup2(fd, fd + 100) for fd in (to_browser, from_browser)]
        self.process = subprocess.Popen(
            arguments, preexec_fn=descriptors, pass_fds=(3, 4),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        self.number = 0
        self.rest = b""
        self.events = []

    def read(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while b"\0" not in self.rest:
            if time.monotonic() > deadline:
                raise SystemExit("error: Chromium does not answer")
            piece = os.read(self.back, 1 << 20)
            if not piece:
                raise SystemExit("error: Chromium ended: does it start here at all?")
            self.rest += piece
        message, self.rest = self.rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.read()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise SystemExit(f"error: {method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def wait(self, event):
        while not any(seen.get("method") == event for seen in self.events):
            self.events.append(self.read())

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=30)


def pixels(png):
    """Returns width and the rows of an 8-bit PNG as bytes per pixel and samples."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
    at, data, header = 8, b"", None
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    width, _, depth, colour = header[:4]
    assert depth == 8 and colour in (2, 6), "an unusual PNG"
    size = 3 if colour == 2 else 4
    data, stride, rows, above = zlib.decompress(data), width * size, [], bytearray(width * size)
    for begin in range(0, len(data), stride + 1):
        filter_type, row = data[begin], bytearray(data[begin + 1 : begin + 1 + stride])
        for i in range(stride):
            left = row[i - size] if i >= size else 0
            up = above[i]
            corner = above[i - size] if i >= size else 0
            if filter_type == 1:
                row[i] = (row[i] + left) & 255
            elif filter_type == 2:
                row[i] = (row[i] + up) & 255
            elif filter_type == 3:
                row[i] = (row[i] + (left + up) // 2) & 255
            elif filter_type == 4:
                guess = left + up - corner
                near = min((abs(guess - v), n) for n, v in enumerate((left, up, corner)))[1]
                row[i] = (row[i] + (left, up, corner)[near]) & 255
        rows.append(bytes(row))
        above = row
    return size, rows


def looks(png):
    """Returns how many colours a picture has and how bright it is, from 0 to 255."""
    size, rows = pixels(png)
    colours, total, count = set(), 0, 0
    for row in rows[::4]:
        for i in range(0, len(row) - size + 1, size * 4):
            colours.add(row[i : i + 3])
            total += sum(row[i : i + 3]) / 3
            count += 1
    return len(colours), total / count


def main(chromium, report, folder):
    folder.mkdir(parents=True, exist_ok=True)
    wrong = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(chromium, profile)
        try:
            target = browser.call("Target.createTarget", url="about:blank")["targetId"]
            session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Network", "Log", "Runtime"):
                browser.call(f"{domain}.enable", session)
            brightness = {}
            for name, width, height in VIEWS:
                for scheme in SCHEMES:
                    wrong += look(browser, session, report, folder, (name, width, height), scheme, brightness)
            for name, _, _ in VIEWS:
                if brightness[name, "light"] - brightness[name, "dark"] < 80:
                    wrong.append(f"{name}: dark is as bright as light: {brightness}")
            pdf = base64.b64decode(browser.call("Page.printToPDF", session, printBackground=True)["data"])
            (folder / "report.pdf").write_bytes(pdf)
            if not pdf.startswith(b"%PDF") or len(pdf) < 10_000:
                wrong.append("no PDF was made")
            asked = [
                event["params"]["request"]["url"]
                for event in browser.events
                if event.get("method") == "Network.requestWillBeSent"
            ]
            others = [url for url in asked if url != report.as_uri() and url != "about:blank"]
            if others:
                wrong.append(f"the page asked for {others[:5]}")
            if asked.count(report.as_uri()) != len(VIEWS) * len(SCHEMES):
                wrong.append(f"the report was opened {asked.count(report.as_uri())} times: were requests watched?")
            told = [event["params"] for event in browser.events if event.get("method") == "Log.entryAdded"]
            if told:
                wrong.append(f"Chromium complains: {told[0]['entry']['text']}")
        finally:
            browser.close()
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    if not wrong:
        print(f"the report is legible wide and narrow, light and dark, and on paper; it asked for nothing: {folder}")
    return 1 if wrong else 0


def look(browser, session, report, folder, view, scheme, brightness):
    name, width, height = view
    wrong = []
    browser.call(
        "Emulation.setDeviceMetricsOverride", session,
        width=width, height=height, deviceScaleFactor=1, mobile=name == "phone",
    )
    browser.call(
        "Emulation.setEmulatedMedia", session,
        features=[{"name": "prefers-color-scheme", "value": scheme}],
    )
    browser.events = [event for event in browser.events if event.get("method") != "Page.loadEventFired"]
    browser.call("Page.navigate", session, url=report.as_uri())
    browser.wait("Page.loadEventFired")

    def value(expression):
        return browser.call("Runtime.evaluate", session, expression=expression, returnByValue=True)["result"]["value"]

    wide = value("document.documentElement.scrollWidth")
    if wide > width:
        widest = value(
            "[...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll') && "
            f"e.getBoundingClientRect().right > {width}).map(e => e.tagName + '.' + e.className).slice(0, 3).join(' ')"
        )
        wrong.append(f"{name}, {scheme}: {wide} points wide on a screen of {width}: {widest}")
    if value("document.scripts.length") != 0:
        wrong.append(f"{name}, {scheme}: the page holds a script")
    if not value("document.querySelectorAll('h1').length === 1 && document.querySelectorAll('h2').length >= 4"):
        wrong.append(f"{name}, {scheme}: headings are missing")
    unnamed = value("[...document.querySelectorAll('svg')].filter(e => !e.querySelector(':scope > title')).length")
    uncaptioned = value("[...document.querySelectorAll('table')].filter(e => !e.caption).length")
    if unnamed or uncaptioned:
        wrong.append(f"{name}, {scheme}: {unnamed} pictures without a title, {uncaptioned} tables without a caption")
    small = value(
        "[...document.querySelectorAll('main p, main td, main li, main dd')]"
        ".filter(e => parseFloat(getComputedStyle(e).fontSize) < 12).length"
    )
    if small:
        wrong.append(f"{name}, {scheme}: {small} texts are smaller than 12 points")
    png = base64.b64decode(browser.call("Page.captureScreenshot", session, format="png")["data"])
    (folder / f"{name}-{scheme}.png").write_bytes(png)
    whole = browser.call("Page.captureScreenshot", session, format="png", captureBeyondViewport=True)
    (folder / f"{name}-{scheme}-whole.png").write_bytes(base64.b64decode(whole["data"]))
    colours, brightness[name, scheme] = looks(png)
    if colours < 20:
        wrong.append(f"{name}, {scheme}: the picture has {colours} colours: it is blank")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve()))
