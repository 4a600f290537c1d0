"""Published rows: as they were published, and beside ours only where both were measured alike."""

import pytest
from rich.console import Console

from evaluation.base import fingerprint
from evaluation.protocols import PRESETS
from evaluation.published import PUBLISHED_FILE, all_published, published_rows
from evaluation.published_table import own_values, published_parts
from evaluation.report import SourceProtocol
from worldmodel.errors import DataError

FVD, FID = "video/fvd@i3d-k400", "image/fid@inception-2015-12-05"
PLACE = SourceProtocol(cameras=("front",), n_frames=(20,), resolutions=("160x240",))


@pytest.fixture
def under(make_report):
    """A report under a preset, on sources."""

    def make(preset, *sources, **values):
        report = make_report(**(values or {source: {"image/psnr": [20.0, 22.0]} for source in sources}))
        protocol = report.protocol.model_copy(update={"preset": preset, "sources": dict.fromkeys(sources, PLACE)})
        return report.model_copy(update={"protocol": protocol, "protocol_fingerprint": fingerprint(protocol)})

    return make


def row(method, protocol):
    (found,) = (each for each in all_published() if each.method == method and each.protocol.says.startswith(protocol))
    return found


def test_the_rows_are_those_of_the_papers():
    assert row("WorldRec", "202 validation").values == {"image/psnr": 28.48, "image/ssim": 0.861}
    assert row("WorldRec", "models trained on Waymo").values == {"image/psnr": 26.54, "image/ssim": 0.821}
    assert row("WorldRec", "trained on 500").values == {"image/psnr": 27.50, "image/ssim": 0.826}
    assert row("WorldGen", "as quoted").values == {FID: 7.04, FVD: 64.97}
    assert row("Vista", "5369").values == {FID: 6.9, FVD: 89.4}
    assert all(each.source.url.startswith("https://") and each.where for each in all_published())


def test_no_method_stands_twice_under_one_protocol():
    keys = [(each.method, each.protocol.says) for each in all_published()]
    assert len(set(keys)) == len(keys)


def test_rows_stand_beside_a_report_of_their_preset_and_dataset_alone(under):
    methods = [each.method for each in published_rows(under(PRESETS["storm-waymo"], "waymo"))]
    assert methods[0] == "WorldRec" and "STORM" in methods and "Vista" not in methods
    assert [each.method for each in published_rows(under(PRESETS["vista25"], "nuscenes"))] == ["Vista"]


@pytest.mark.parametrize("sources", [("synthetic",), ("waymo", "synthetic"), ()])
def test_other_or_further_data_have_no_rows_beside_them(under, sources):
    assert published_rows(under(PRESETS["storm-waymo"], *sources)) == []


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in ("storm-waymo", "vista25")])
def test_a_preset_that_nobody_published_under_has_no_rows(under, name):
    assert all(published_rows(under(PRESETS[name], dataset)) == [] for dataset in ("waymo", "nuscenes"))


def test_a_preset_of_that_name_but_other_content_has_no_rows(under):
    assert published_rows(under(PRESETS["storm-waymo"].model_copy(update={"height": 320}), "waymo")) == []


def test_rows_without_a_preset_of_ours_say_why():
    without = [each.protocol for each in all_published() if each.protocol.preset is None]
    assert len(without) == 17 and all(protocol.unlike for protocol in without)


def test_the_table_has_our_value_above_theirs_and_fits_80_columns(under):
    report = under(PRESETS["storm-waymo"], "waymo", waymo={"image/psnr": [20.0, 22.0], "image/ssim": [0.5, 0.7]})
    console = Console(width=80, record=True)
    for part in published_parts(report):
        console.print(part)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 80
    (ours,), (theirs,) = (
        [line.split() for line in lines if line.strip().startswith(name)] for name in ("this", "WorldRec ")
    )
    assert (ours[-2:], theirs[-2:]) == (["21.00", "0.600"], ["28.48", "0.861"])
    assert not any("depth" in line.split() for line in lines[:4])  # what we did not measure has no column


def test_nothing_is_drawn_where_nothing_compares(under):
    assert list(published_parts(under(PRESETS["tiny"], "waymo"))) == []


def test_held_out_clips_alone_stand_for_a_report(make_report):
    report = make_report(same_log=("waymo",), waymo={"image/psnr": [20.0]})
    assert own_values(report) == {}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rows:", "lines:", "rows"),
        ("source: ufo", "source: nobody", "nobody"),
        ("preset: storm-waymo", "preset: storm", "storm"),
        ("    dataset: waymo\n", "    dataset: nuscenes\n", "on nuscenes"),
        ("    preset: vista25\n", "    preset: null\n", "either a preset or the reason"),
        ("image/psnr: 28.48", "image/psnr: .nan", "finite"),
        ("rows:", "rows: [", "parsing"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, old, new, said):
    path = tmp_path / "published.yaml"
    path.write_text(PUBLISHED_FILE.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=r"published\.yaml: no usable table of published numbers") as caught:
        all_published(path)
    assert said in caught.value.got
