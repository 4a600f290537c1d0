"""A page driven in a browser: its clips play, step, loop and obey the keyboard, and their pictures stay in step."""

import itertools
import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evaluation.page import write_page
from tests.evaluation import conftest as clips
from tests.evaluation.page.conftest import CLIPS, CONFIG, evaluate_clips

CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")]
LAST = 6
# each picture but the error and the repeated frame is one grey that tells its frame: 20, 50, 80, ...
READ = """
const greys = (player) => player.canvases.map((canvas) => {
  const middle = canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;
  return Math.round((middle[0] - 20) / 30);
});
"""
WATCH = """
async (milliseconds) => {
  const seen = [], player = players.at(-1), until = performance.now() + milliseconds;
  while (performance.now() < until) {
    await new Promise((next) => requestAnimationFrame(next));
    seen.push([player.frame, ...greys(player)]);
  }
  return seen;
}
"""


def grey_clip(clip_id: str, made: clips.Made, seed: int) -> Any:
    clip = _build(clip_id, made, seed)
    greys = 20 + 30 * np.arange(made.n_frames, dtype=np.uint8)
    rgb = np.broadcast_to(greys[:, None, None, None, None], clip.rgb.shape).copy()
    rgb[:, :, 0] = seed  # no two clips are the same
    return replace(clip, rgb=rgb)


_build = clips.build_clip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page, open in a browser that reports every request and error."""
    from playwright.sync_api import sync_playwright

    root = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "build_clip", grey_clip)
        evaluated = evaluate_clips(clips.write_outputs(root, [clips.Made(**one) for one in CLIPS], ["synthetic"]))
    write_page(root / "report.html", evaluated.report, evaluated.measured, CONFIG)
    with sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1200, "height": 900})
        opened.problems, opened.requests = [], []
        opened.on("pageerror", lambda error: opened.problems.append(str(error)))
        opened.on("console", lambda message: message.type == "error" and opened.problems.append(message.text))
        opened.on("request", lambda request: opened.requests.append(request.url.split(":")[0]))
        opened.goto(f"file://{root / 'report.html'}")
        yield opened
        browser.close()


@pytest.fixture
def player(page: Any) -> Any:
    """The last player, stopped at its first frame: recorded, tokenizer, DMD, repeated and error of a clip."""
    page.evaluate(f"() => {{ window.greys ??= (() => {{ {READ} return greys; }})(); }}")
    found = page.locator(".player").last
    found.scroll_into_view_if_needed()
    page.wait_for_function("() => players.at(-1).video.readyState >= 2")
    found.locator("select").select_option("1")
    page.evaluate("() => { const player = players.at(-1); player.video.loop || player.do('loop'); player.seek(0); }")
    shown(page, 0)
    return found


def shown(page: Any, frame: int) -> None:
    """Waits until the pictures show a frame, then checks that all of them do, and the scrubber with them."""
    page.wait_for_function("(frame) => greys(players.at(-1))[0] === frame", arg=frame)
    state = page.evaluate("() => { const p = players.at(-1); return [p.frame, Number(p.range.value), ...greys(p)]; }")
    assert state[:6] == [frame, frame, frame, frame, frame, 0]


def test_buttons_step_frame_by_frame_and_round_the_end_only_when_looping(page, player):
    forth, back, loop = (player.locator(f"[data-do={name}]") for name in ("forth", "back", "loop"))
    for frame in range(1, LAST + 1):
        forth.click()
        shown(page, frame)
    forth.click()
    shown(page, 0)
    back.click()
    shown(page, LAST)
    loop.click()
    assert loop.get_attribute("aria-pressed") == "false"
    forth.click()
    shown(page, LAST)


def test_the_keyboard_does_all_of_it(page, player):
    player.focus()
    for key, frame in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", LAST), ("Home", 0)):
        page.keyboard.press(key)
        shown(page, frame)
    page.keyboard.press("l")
    page.keyboard.press("+")
    state = "() => { const v = players.at(-1).video; return [v.paused, v.loop, v.playbackRate]; }"
    assert page.evaluate(state) == [True, False, 2]
    page.keyboard.press("-")
    page.keyboard.press("-")
    page.keyboard.press(" ")
    assert page.evaluate(state) == [False, False, 0.5]
    page.keyboard.press(" ")
    assert page.evaluate(state)[0] is True


def test_the_scrubber_shows_any_frame_and_the_last_wish_counts(page, player):
    page.evaluate("""() => {
      const range = players.at(-1).range;
      for (const frame of [5, 1, 6, 2, 4]) { range.value = frame; range.dispatchEvent(new Event("input")); }
    }""")
    shown(page, 4)
    assert player.locator("output").inner_text() == "0.4 s"


def test_all_pictures_are_in_step_while_playing_and_loop(page, player):
    player.locator("[data-do=play]").click()
    seen = page.evaluate(f"({WATCH})(2500)")
    player.locator("[data-do=play]").click()
    apart = [max(one[:4]) - min(one[:4]) for one in seen]
    assert all(one[1] == one[2] == one[3] for one in seen)
    assert max(apart) <= 1
    frames = [one[1] for one in seen]
    assert set(frames) == set(range(LAST + 1))
    assert sum(later < earlier for earlier, later in itertools.pairwise(frames)) >= 2
    assert {one[4] for one in seen} == {0}


def test_without_the_loop_a_clip_stops_at_its_last_frame_and_starts_again(page, player):
    player.locator("[data-do=loop]").click()
    player.locator("[data-do=play]").click()
    page.wait_for_function("() => players.at(-1).video.ended")
    shown(page, LAST)
    player.locator("[data-do=play]").click()
    page.wait_for_function("() => { const p = players.at(-1); return !p.video.paused && p.frame > 0 && p.frame < 6; }")
    player.locator("[data-do=play]").click()


def test_a_click_enlarges_a_picture_and_another_one_puts_it_back(page, player):
    picture = player.locator("canvas").first
    small = picture.bounding_box()["width"]
    picture.click()
    assert picture.bounding_box()["width"] > 3 * small
    picture.click()
    assert picture.bounding_box()["width"] == small


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_sticks_out_of_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 844})
    assert page.evaluate("() => document.documentElement.scrollWidth") == width


def test_the_page_asked_for_nothing_and_broke_nothing(page):
    assert page.problems == []
    assert set(page.requests) <= {"file", "data", "blob"} and page.requests.count("file") == 1
