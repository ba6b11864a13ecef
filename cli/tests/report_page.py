"""Sorts the table of an HTML report by keyboard in a real browser, and measures the page.

    pip install playwright
    relscale fit --scores suite/scores.csv --baseline english-help --aggregate aggregate --report report.html
    python cli/tests/report_page.py report.html FOLDER

Takes screenshots at the widths of a desk and of a phone, light and dark, into FOLDER. Uses the program
`chromium`, or the one that the variable CHROMIUM names.
"""

import os
import pathlib
import shutil
import sys

from playwright.sync_api import sync_playwright

page_file, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")


def column(page, number):
    return page.eval_on_selector_all(
        "tbody tr", f"rows => rows.map(r => r.cells[{number}].dataset.value ?? r.cells[{number}].textContent)"
    )


with sync_playwright() as p:
    browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    for scheme in ["light", "dark"]:
        for width, height in [(1280, 900), (390, 844)]:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            requests, errors = [], []
            page.on("request", lambda r: requests.append(r.url))
            page.on("pageerror", lambda e: errors.append(str(e)))
            page.goto(page_file.as_uri())
            assert requests == [page_file.as_uri()], requests
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, f"the page is {wide} wide on a screen of {width}"
            page.screenshot(path=folder / f"{scheme}-{width}.png")
            page.locator("#laws").scroll_into_view_if_needed()
            page.evaluate("document.querySelector('#laws').scrollIntoView()")
            page.screenshot(path=folder / f"{scheme}-{width}-laws.png")

            # By keyboard alone: the heading takes the focus, Enter and the space bar sort.
            headings = page.locator("thead button")
            names = headings.all_text_contents()
            number = names.index("% per decade")
            before = column(page, number)
            headings.nth(number - 1).focus()
            page.keyboard.press("Tab")
            focused = page.evaluate("document.activeElement.textContent")
            assert focused == "% per decade", focused
            page.keyboard.press("Enter")
            values = [float(v) for v in column(page, number)]
            assert values == sorted(values) and len(values) == len(before)
            sort = page.locator("thead th").nth(number)
            assert sort.get_attribute("aria-sort") == "ascending"
            page.keyboard.press("Space")
            values = [float(v) for v in column(page, number)]
            assert values == sorted(values, reverse=True)
            assert sort.get_attribute("aria-sort") == "descending"
            headings.nth(0).focus()
            page.keyboard.press("Enter")
            assert column(page, 0) == sorted(column(page, 0)), column(page, 0)
            assert sort.get_attribute("aria-sort") == "none"
            assert not errors, errors
            page.close()
    browser.close()
print("sorted by keyboard at two widths, light and dark")
