"""The demo page in a real browser, served by the real command: `make browser` installs both."""

import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from importlib.util import find_spec
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from mem3d.demo.reconstruct_view import reconstruct_upload
from memstore.voxels.binvox import read_binvox, write_binvox
from tests.helpers.r2n2_folder import blob
from tests.helpers.untrained_run import save_photo

CHROMIUM = shutil.which("chromium")
MISSING = [name for name in ("gradio", "playwright") if find_spec(name) is None]
MISSING += [] if CHROMIUM else ["chromium"]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; make browser"),
    pytest.mark.timeout(600),
]
FLAGS = (
    *("--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--use-angle=swiftshader"),
)
PATIENCE = 90_000  # milliseconds; a shared machine draws slowly
SERVER = """
import sys
def watch(event, arguments):
    place = arguments[1] if event == "socket.connect" else arguments[:1]
    if event in ("socket.connect", "socket.getaddrinfo") and isinstance(place, tuple):
        if place[0] not in ("127.0.0.1", "localhost", "::1", None, b"127.0.0.1"):
            print("OUTSIDE", event, place, flush=True)
sys.addaudithook(watch)
from mem3d_cli.mem3d.app import main
main()
"""


@pytest.fixture(scope="module")
def server(trained, tmp_path_factory):
    """(address, log file) of the running command."""
    log, temporary = tmp_path_factory.mktemp("server") / "log", tmp_path_factory.mktemp("temporary")
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-u", "-c", SERVER, "demo", str(trained[0])]
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=out, env=environment) as process,
    ):
        try:
            while not (found := re.search(r"http://\S+", log.read_text())):
                assert process.poll() is None, log.read_text()
                time.sleep(0.2)
            yield found[0], log
        finally:
            process.terminate()
    assert process.returncode == 0, log.read_text()
    assert list(temporary.iterdir()) == []


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def visitor(browser, server):
    """Opens the page for a new visitor; at the end, no request may have gone elsewhere."""
    contexts, asked = [], []

    def opened(width=1280, height=1200):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server[0])
        page.wait_for_selector("#photo input[type=file]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    hosts = {urlsplit(url).hostname for url in asked if url.startswith(("http", "ws"))}
    assert hosts == {"127.0.0.1"}
    assert "OUTSIDE" not in server[1].read_text()


def give(page, path):
    """Upload a photo."""
    page.set_input_files("#photo input[type=file]", path)


def says(page, place, text):
    """Wait until a part of the page says something."""
    want = "([place, text]) => document.querySelector(place)?.innerText.includes(text)"
    page.wait_for_function(want, arg=[place, text])


def canvas(page, path):
    """Pixels of the 3-D view, once it has been drawn."""
    page.wait_for_selector("#shape canvas")
    for _ in range(60):
        page.locator("#shape canvas").screenshot(path=path)
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)[40:-5, 5:-5]
        if (drawn := blue(pixels)).any():
            return drawn
        page.wait_for_timeout(500)
    raise AssertionError("the canvas stayed empty")


def blue(pixels):
    """Where the shape's color is, on the light ground."""
    return pixels[..., 2] - pixels[..., 0] > 40


def downloaded(page, ending, path):
    with page.expect_download() as waiting:
        page.locator(f"#get-{ending}").click()
    waiting.value.save_as(path)
    assert waiting.value.suggested_filename.endswith(f".{ending}")
    return path


def middle(trained, photo):
    """The occupancy that the page should show, and a threshold within its range."""
    occupancy = reconstruct_upload(*trained[1:3], photo).result.occupancy
    return occupancy, round(float(np.quantile(occupancy, 0.7)), 2)


def test_a_photo_becomes_a_shape_that_turns_and_is_downloaded(visitor, server, trained, tmp_path):
    photo = save_photo(tmp_path / "thing.png", 4)
    occupancy, level = middle(trained, photo)
    page = visitor()
    give(page, photo)
    says(page, "#note", "voxel")
    assert "recalled" in page.inner_text("#status")
    assert page.locator("#recalled .thumbnail-item").count() >= 1
    page.locator("#threshold input[type=number]").fill(f"{level:.2f}")
    page.locator("#threshold input[type=number]").press("Enter")
    says(page, "#note", f"{(occupancy > level).sum():,} of 32,768")  # it was meshed anew

    drawn = canvas(page, tmp_path / "a.png")
    assert drawn.mean() > 0.01
    box = page.locator("#shape canvas").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 420, box["y"] + 260, steps=6)
    page.mouse.up()
    page.wait_for_timeout(1500)
    assert (canvas(page, tmp_path / "b.png") != drawn).mean() > 0.001  # it has turned

    with np.load(downloaded(page, "npz", tmp_path / "a.npz")) as numbers:
        np.testing.assert_allclose(numbers["occupancy"], occupancy, atol=1e-4)
    grid = read_binvox(downloaded(page, "binvox", tmp_path / "a.binvox"))
    assert grid.sum() == pytest.approx((occupancy > level).sum(), abs=3)
    assert downloaded(page, "glb", tmp_path / "a.glb").read_bytes()[:4] == b"glTF"
    assert server[1].read_text().count("thing: ") == 1  # runs of the network


def tiles(page, gallery):
    """Widths of a gallery's pictures and letters, in pixels; and how wide the page is."""
    page.wait_for_selector(f"{gallery} .thumbnail-item", state="attached")
    page.locator(gallery).scroll_into_view_if_needed()
    return page.evaluate(
        """gallery => [
            [...document.querySelectorAll(gallery + ' .thumbnail-item')]
                .map(tile => tile.getBoundingClientRect().width),
            [...document.querySelectorAll(gallery + ' .caption-label')]
                .map(text => parseFloat(getComputedStyle(text).fontSize)),
            document.documentElement.scrollWidth,
        ]""",
        gallery,
    )


def test_on_a_phone_tiles_can_be_read_and_nothing_is_cut(visitor, tmp_path):
    page = visitor(390, 844)
    give(page, save_photo(tmp_path / "phone.png", 4))
    says(page, "#note", "voxel")
    for gallery in ("#recalled", "#stored"):
        if gallery == "#stored":
            page.get_by_role("tab", name="Memory").click()
        widths, letters, whole = tiles(page, gallery)
        assert len(widths) == len(letters) >= 1
        assert min(widths) >= 120
        assert min(letters) >= 12
        assert whole <= 390


def test_a_mask_is_corrected_with_the_brush(visitor, server, tmp_path):
    """A stroke across the photo's middle: the network sees more than before, and is run again."""
    page = visitor()
    give(page, save_photo(tmp_path / "masked.png", 4))
    says(page, "#note", "To print")
    before = page.locator("#seen img").get_attribute("src")
    page.get_by_text("Correct the mask").click()
    page.wait_for_selector("#editor canvas")
    page.wait_for_timeout(3000)
    page.locator("#editor canvas").first.scroll_into_view_if_needed()  # a mouse paints what it sees
    box = page.locator("#editor canvas").first.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(middle[0] - 150, middle[1])
    page.mouse.down()
    page.mouse.move(middle[0] + 150, middle[1], steps=10)
    page.mouse.up()
    page.wait_for_selector("#shape canvas")
    page.evaluate("window.old = document.querySelector('#shape canvas')")
    page.locator("#use-mask").click()
    seen = "before => document.querySelector('#seen img')?.getAttribute('src') !== before"
    page.wait_for_function(seen, arg=before)
    says(page, "#status", "A mask told the object")
    assert not page.evaluate("window.old.isConnected")  # no old shape beside the new numbers
    canvas(page, tmp_path / "new.png")
    assert page.locator("#printed img").count() == 1
    assert server[1].read_text().count("masked: ") == 2  # runs of the network
    assert zipfile.is_zipfile(downloaded(page, "3mf", tmp_path / "a.3mf"))


def test_a_bad_file_is_told_and_takes_the_old_shape_away(visitor, server, tmp_path):
    page = visitor()
    page.locator("#examples button").first.click()
    says(page, "#note", "voxel")
    (tmp_path / "bad.png").write_text("no picture at all")
    page.get_by_label("Clear").or_(page.get_by_label("Remove Image")).first.click()
    says(page, "#status", "Drop a photo")
    give(page, tmp_path / "bad.png")
    says(page, "#status", "bad.png: got no picture of a known kind")
    assert page.locator("#get-glb").is_disabled()
    assert page.locator("#recalled .thumbnail-item").count() == 0
    assert "Traceback" not in server[1].read_text()


def test_two_visitors_at_once_see_their_own(visitor, trained, tmp_path):
    photos = [save_photo(tmp_path / f"visitor{i}.png", 6 + i) for i in range(2)]
    pages = [visitor() for _ in photos]
    for page, photo in zip(pages, photos, strict=True):  # both before either is answered
        give(page, photo)
    for page, photo in zip(pages, photos, strict=True):
        says(page, "#note", "voxel")
        with np.load(downloaded(page, "npz", tmp_path / "a.npz")) as numbers:
            np.testing.assert_allclose(numbers["occupancy"], middle(trained, photo)[0], atol=1e-4)

    write_binvox(tmp_path / "mine.binvox", blob(9))
    pages[0].get_by_text("Remember this shape").click()
    pages[0].set_input_files("#binvox input[type=file]", tmp_path / "mine.binvox")
    pages[0].wait_for_selector("#binvox :text('mine')")
    pages[0].locator("#remember").click()
    says(pages[0], "#remembered", "Remembered as 'visitor0'")
    for page, used in zip(pages, (4, 3), strict=True):
        page.get_by_role("tab", name="Memory").click()
        says(page, "#facts", f"{used} of 4 slots")
        page.wait_for_selector("#stored .thumbnail-item")
        assert page.locator("#stored .thumbnail-item").count() == used
