import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flows.audit.cards.croissant import licence_url, prepared_card, source_card
from flows.audit.cards.data_facts import PreparedData
from flows.audit.cards.schema import LeftOut
from flows.audit.cards.subject import Subject
from tests.oracles import DIRECTORY

WHEN = "2026-01-02T03:04:05Z"
READ = """
import json, sys
import mlcroissant
for path in sys.argv[1:]:
    found = mlcroissant.Dataset(path)
    issues = found.metadata.ctx.issues
    sets = {one.id: [field.id for field in one.fields] for one in found.metadata.record_sets}
    rows = {name: [{key: value.decode() if isinstance(value, bytes) else value for key, value in row.items()}
                   for row in found.records(name)] for name in sets}
    files = {one.id: one.sha256 for one in found.metadata.distribution}
    print(json.dumps({"errors": sorted(issues.errors), "warnings": sorted(issues.warnings), "sets": sets,
                      "rows": rows, "files": files, "licence": found.metadata.license}))
"""


@pytest.fixture(scope="module")
def data(subject: Subject) -> PreparedData:
    assert subject.data is not None
    return subject.data


@pytest.fixture(scope="module")
def read(subject: Subject, data: PreparedData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both cards as mlcroissant reads them, in a process of its own and without a network."""
    folder = tmp_path_factory.mktemp("croissant")
    (folder / "there").mkdir()
    (folder / "there" / "clips.parquet").write_bytes(subject.records.get(data.table.sha256))
    cards = {
        "prepared": prepared_card(data, WHEN, "there/clips.parquet"),
        "source": source_card(data, "drives", WHEN, "there/clips.parquet"),
    }
    for name, card in cards.items():
        (folder / f"{name}.json").write_text(json.dumps(card))
    unreachable = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    environment = {**os.environ, **unreachable, "PYTHONPATH": str(DIRECTORY), "XDG_CACHE_HOME": str(folder)}
    command = [sys.executable, "-c", READ, *(str(folder / f"{name}.json") for name in cards)]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return dict(zip(cards, map(json.loads, result.stdout.splitlines()), strict=True))


def test_mlcroissant_finds_no_fault(read: dict[str, Any]) -> None:
    assert [(name, found["errors"], found["warnings"]) for name, found in read.items()] == [
        ("prepared", [], []),
        ("source", [], []),
    ]


def test_it_reads_the_clips_through_the_card(read: dict[str, Any], data: PreparedData) -> None:
    rows = read["prepared"]["rows"]["clips"]
    assert [row["clips/clip_id"] for row in rows] == [clip["clip_id"] for clip in data.clips]
    assert [row["clips/split"] for row in rows] == [clip["split"] for clip in data.clips]
    assert {row["clips/n_frames"] for row in rows} == {20}
    assert set(rows[0]) == set(read["prepared"]["sets"]["clips"])


def test_splits_are_records_with_the_standard_meaning(read: dict[str, Any]) -> None:
    rows = read["prepared"]["rows"]["splits"]
    assert {row["splits/name"]: row["splits/clips"] for row in rows} == {"train": 4, "val": 2, "test": 2}
    assert [row["splits/url"].rpartition("/")[2] for row in rows] == [
        "test_split",
        "training_split",
        "validation_split",
    ]


def test_a_sources_logs_are_records(read: dict[str, Any]) -> None:
    rows = read["source"]["rows"]["logs"]
    found = {(row["logs/log_id"], row["logs/split"], row["logs/clips"]) for row in rows}
    assert found == {("log-b", "train", 2), ("log-e", "train", 2), ("log-c", "val", 2), ("log-d", "test", 2)}


def test_every_shard_is_named_with_its_digest(read: dict[str, Any], data: PreparedData) -> None:
    wanted = {shard.path: shard.sha256 for shard in data.shards} | {"clips.parquet": data.table.sha256}
    assert len(data.shards) == 3
    assert read["prepared"]["files"] == wanted
    assert read["source"]["files"] == wanted


def test_the_licences_are_those_of_the_clips(read: dict[str, Any]) -> None:
    assert read["source"]["licence"] == ["https://spdx.org/licenses/MIT.html"]
    assert licence_url("our own terms") == "our own terms"


def test_a_source_names_only_the_shards_that_hold_clips_of_it(data: PreparedData) -> None:
    clips = tuple({**clip, "source": "other"} if clip["split"] == "test" else clip for clip in data.clips)
    two = replace(data, clips=clips)  # type: ignore[arg-type]
    files = [file["@id"] for file in source_card(two, "other", WHEN)["distribution"]]
    assert files == ["clips.parquet", "shards/shard-00002.tar"]


def test_what_was_left_out_is_said_in_the_words_of_responsible_ai(data: PreparedData) -> None:
    missing = replace(data, left_out=(LeftOut(source="drives", id="log-x", reason="recalled"),))
    assert source_card(missing, "drives", WHEN)["rai:dataCollectionMissingData"] == "log-x: recalled"


def test_a_source_without_a_clip_has_a_card_all_the_same(data: PreparedData) -> None:
    empty = replace(data, clips=())
    card = source_card(empty, "drives", WHEN)
    assert (card["license"], [one["name"] for one in card["recordSet"]]) == (["none: there is no clip"], ["splits"])


def test_a_card_needs_no_network_for_its_context(data: PreparedData) -> None:
    for card in (prepared_card(data, WHEN), source_card(data, "drives", WHEN)):
        assert isinstance(card["@context"], dict)
        assert card["conformsTo"] == "http://mlcommons.org/croissant/1.0"


def test_cards_are_the_same_each_time(data: PreparedData, tmp_path: Path) -> None:
    assert json.dumps(prepared_card(data, WHEN)) == json.dumps(prepared_card(replace(data), WHEN))
