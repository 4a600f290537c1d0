"""Stage `prepare`: the logs that data/sources.json names, but for recalled ones, become tar shards and a manifest."""

import json
import os
import shutil
from pathlib import Path

from flows.stage import Stage, main, write_json
from worldmodel.data.config import PrepareConfig
from worldmodel.data.prepare import NOT_INCLUDED_NAME, Orders, prepare
from worldmodel.data.recalls import read_recalls
from worldmodel.data.shards import ClipStore
from worldmodel.data.sources import open_sources, read_local_paths, read_sources

SOURCES_FILE, RECALLS_FILE = Path("data") / "sources.json", Path("data") / "recalls.json"
# of this machine, in its state directory
LOCAL_PATHS_FILE, DIGEST_CACHE_FILE = "sources.local.json", "digests.json"
CARD_FILE = "card.json"
_SYNTHETIC = "synthetic"


def run(stage: Stage[PrepareConfig]) -> None:
    """Writes shards/, clips.parquet, sources.json, not_included.json and, for synthetic data, card.json."""
    state = Path(os.environ.get("WORLDMODEL_STATE") or stage.root / ".worldmodel")
    entries = read_sources(stage.root / SOURCES_FILE)
    paths = read_local_paths(state / LOCAL_PATHS_FILE)
    sources = open_sources(entries, paths, stage.params, stage.seed, state / DIGEST_CACHE_FILE)
    recalls = read_recalls(stage.root / RECALLS_FILE)
    orders = Orders(recalls, lambda done, total: stage.progress(done, total, "logs"), lambda: stage.stop_requested)
    prepare(sources, stage.params, stage.seed, stage.out, stage.resume_dir, orders)
    shutil.copyfile(stage.root / SOURCES_FILE, stage.out / SOURCES_FILE.name)
    not_included = json.loads((stage.out / NOT_INCLUDED_NAME).read_text())
    for log in not_included["logs"]:
        stage.say(f"not included: log {log['log_id']} of {log['source']}: {log['reason']}")
    for clip in not_included.get("clips", []):
        stage.say(f"not included: clip {clip['clip_id']} of {clip['source']}: {clip['reason']}")
    for source, rates in not_included["kept_rates"].items():
        stage.say(f"{source} keeps rates that are no multiple of {stage.params.rate_hz:g} Hz: {rates}")
    _write_card(stage)


def _write_card(stage: Stage[PrepareConfig]) -> None:
    """Measures how hard the held-out synthetic clips are, where there are any with a target frame."""
    from worldmodel.data.synthetic.card import difficulty_card

    store = ClipStore(stage.out)
    held_out = store.clip_ids("test", _SYNTHETIC) + store.clip_ids("val", _SYNTHETIC)
    chosen = held_out[: stage.params.card_clips]
    if chosen and stage.params.synthetic.frames > 1:
        stage.check_stop()
        card = difficulty_card([store.load(clip_id) for clip_id in chosen], stage.params.context_stride)
        write_json(stage.out / CARD_FILE, {**card, "clip_ids": chosen})


if __name__ == "__main__":
    main("prepare", PrepareConfig, run)
