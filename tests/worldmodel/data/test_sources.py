import json
from collections.abc import Callable
from pathlib import Path

import pytest

from worldmodel.data.adapters.dgp import DgpSource
from worldmodel.data.adapters.multicam import MulticamSource
from worldmodel.data.config import PrepareConfig
from worldmodel.data.sources import (
    ResolvedSource,
    open_sources,
    read_local_paths,
    read_sources,
    remember_paths,
    resolve_specs,
    write_sources,
)
from worldmodel.errors import DataError

WriteScenes = Callable[..., Path]


def test_specs_resolve_to_names_and_digests_sorted_by_name(write_scenes: WriteScenes) -> None:
    folder = write_scenes(name="street.v1")
    synthetic, street = sorted(
        resolve_specs(["synthetic", f"dgp:{folder}"]), key=lambda entry: entry.adapter, reverse=True
    )
    assert synthetic == ResolvedSource("synthetic", "synthetic", None)
    assert (street.name, street.adapter, street.path) == ("street_v1", "dgp", folder)
    assert resolve_specs([f"dgp:{folder}", "synthetic"]) == [street, synthetic]


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (["nuscenes:data"], "unknown data adapter"),
        (["synthetic:data"], "takes no path"),
        (["dgp"], "no such folder"),
        (["dgp:nowhere"], "no such folder"),
        (["synthetic", "synthetic"], "two data sources are named synthetic"),
        ([], "no data source"),
    ],
)
def test_a_wrong_spec_is_explained(specs: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        resolve_specs(specs)


def test_what_a_run_records_has_no_paths_and_opens_again(tmp_path: Path, write_scenes: WriteScenes) -> None:
    resolved = resolve_specs([f"dgp:{write_scenes(2)}", "synthetic"])
    sources_file, local_file = tmp_path / "data/sources.json", tmp_path / "state/sources.local.json"
    write_sources(sources_file, resolved)
    remember_paths(local_file, resolved)
    assert str(tmp_path) not in sources_file.read_text()
    street, synthetic = open_sources(read_sources(sources_file), read_local_paths(local_file), PrepareConfig(), seed=3)
    assert list(street.log_ids()) == ["street-scene_00", "street-scene_01"]
    assert (street.digest(), street.licence) == (resolved[0].digest, "MIT")
    assert synthetic.name == "synthetic" and len(synthetic.log_ids()) == PrepareConfig().synthetic.logs


def test_recorded_sources_take_size_rate_and_stated_licence_from_the_configuration(tmp_path: Path) -> None:
    for kind in ("dgp", "multicam"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "a.mp4").write_bytes(b"any content")
    entries = resolve_specs([f"dgp:{tmp_path / 'dgp'}", f"multicam:{tmp_path / 'multicam'}"])
    changes = {"clip_frames": 7, "rate_hz": 5.0, "licences": {"multicam": "Apache-2.0"}}
    paths = {str(entry.digest): Path(str(entry.path)) for entry in entries}
    dgp, multicam = open_sources(entries, paths, PrepareConfig.model_validate(changes), 0, tmp_path / "cache.json")
    assert isinstance(dgp, DgpSource) and isinstance(multicam, MulticamSource)
    assert (multicam.name, multicam.size, multicam.clip_frames, multicam.rate_hz) == ("multicam", (64, 96), 7, 5.0)
    assert multicam.licence == "Apache-2.0" and dgp.stated_licence is None


def test_paths_of_other_runs_are_kept(tmp_path: Path) -> None:
    remember_paths(tmp_path / "local.json", [ResolvedSource("a", "dgp", "aa", Path("/data/a"))])
    remember_paths(tmp_path / "local.json", [ResolvedSource("b", "dgp", "bb", Path("/data/b"))])
    assert read_local_paths(tmp_path / "local.json") == {"aa": Path("/data/a"), "bb": Path("/data/b")}


def test_a_source_that_is_not_on_this_machine_is_named(write_scenes: WriteScenes) -> None:
    entries = resolve_specs([f"dgp:{write_scenes()}"])
    with pytest.raises(DataError, match="source street is not on this machine") as raised:
        open_sources(entries, {}, PrepareConfig(), 0)
    assert "--data dgp:PATH" in raised.value.fix
    with pytest.raises(DataError, match="which is no folder"):
        open_sources(entries, {str(entries[0].digest): Path("gone")}, PrepareConfig(), 0)


def test_content_that_changed_since_is_refused(tmp_path: Path, write_scenes: WriteScenes) -> None:
    folder = write_scenes()
    (entry,) = resolve_specs([f"dgp:{folder}"], tmp_path / "cache.json")
    paths = {str(entry.digest): folder}
    assert open_sources([entry], paths, PrepareConfig(), 0, tmp_path / "cache.json")[0].name == "street"
    (folder / "scene_00/ontology/classes.json").write_text("{}")
    with pytest.raises(DataError, match="has changed since this run resolved it"):
        open_sources([entry], paths, PrepareConfig(), 0, tmp_path / "cache.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "not a mapping"),
        ("{}", "field missing"),
        ('{"version": 9, "sources": []}', "another version"),
        ('{"version": 1, "sources": [{"name": "a", "adapter": "b", "digest": null}]}', "unknown data adapter"),
    ],
)
def test_a_damaged_record_is_explained(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "sources.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_sources(tmp_path / "sources.json")


def test_the_record_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_sources(tmp_path / name, resolve_specs(["synthetic"]))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_text())["sources"][0]["digest"] is None
