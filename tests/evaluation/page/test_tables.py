from evaluation.base import Interval
from evaluation.generation_report import Window
from evaluation.page import generation, reconstruction
from evaluation.page.published import published_tables
from evaluation.protocols import PRESETS
from evaluation.report import NEAREST, Protocol, SourceProtocol
from evaluation.slice_value import SliceValue
from tests.evaluation.videos import KVD_TOK, PSNR, video_group, video_metric


def slice_value(name, value, n=4):
    return SliceValue(
        slice=name, metric="image/psnr", unit="dB", direction="up", value=value, n_clips=n, n_logs=n, min_clips=4,
        ci95=Interval(low=value - 1, high=value + 1),
    )  # fmt: skip


def test_a_metric_has_a_row_a_region_with_its_baselines(make_report):
    (table,) = reconstruction.metric_tables(make_report(synthetic={"image/psnr": [20.0, 22.0]}).groups[0])
    assert (table.title, table.better, table.heads) == ("image/psnr, dB", "up", ("region", "model", "nearest"))
    (row,) = table.rows
    assert (row.name, row.value, row.interval) == ("whole image", "21.00", "20.00 to 22.00")
    assert [cell.text for cell in row.cells] == ["19.00"]
    assert row.whisker.marks == (("baseline", row.whisker.marks[0][1]),) and row.whisker.marks[0][1] < row.whisker.value


def test_a_nan_is_shown_as_such_with_its_reason_and_without_a_drawing(make_report):
    (table,) = reconstruction.metric_tables(make_report(synthetic={"image/psnr": [20.0, None]}).groups[0])
    assert table.rows[0].value == "NaN" and table.rows[0].whisker is None
    assert table.notes == ("Not a number: NaN in 1 of 6 images, first in clip c0, frame 1, camera front.",)


def test_slices_of_too_few_clips_are_pale_and_said_to_be():
    slices = [slice_value("light=night", 18.0, n=3), slice_value("light=day", 22.0)]
    (table,), _ = reconstruction.slice_tables(slices, None, "image/psnr")
    assert [(row.name, row.value, row.style) for row in table.rows] == [
        ("light: day", "22.00", ""),
        ("light: night", "18.00", "few"),
    ]
    assert table.notes == ("Pale: fewer than 4 clips, too few to be judged.",)


def test_slices_are_apart_by_method_and_metric_and_the_leading_ones_come_first():
    videos = slice_value("light=day", 20.0).model_copy(update={"method": "dmd"})
    other = slice_value("light=day", 0.5).model_copy(update={"metric": "image/ssim", "unit": "1"})
    first, more = reconstruction.slice_tables([slice_value("light=day", 22.0), other, videos], "dmd", "image/psnr")
    assert [table.title for table in first] == ["image/psnr, dB of dmd"]
    assert [table.title for table in more] == ["image/psnr, dB", "image/ssim"]


def test_clips_of_a_chart_go_from_the_worst_to_the_best_and_bear_their_names(make_report):
    group = make_report(synthetic={"image/psnr": [22.0, 20.0, 24.0]}).groups[0]
    clips = tuple(c.model_copy(update={"baselines": {NEAREST: c.value - 2}}) for c in group.metrics[0].per_clip)
    metric = group.metrics[0].model_copy(update={"per_clip": clips})
    model, nearest = reconstruction.clip_chart(group.model_copy(update={"metrics": (metric,)})).series
    assert [dot.name for dot in model.dots] == ["c1: 20.00 dB", "c0: 22.00 dB", "c2: 24.00 dB"]
    assert [dot.name for dot in nearest.dots] == ["c1: 18.00 dB", "c0: 20.00 dB", "c2: 22.00 dB"]
    assert [dot.y for dot in model.dots] == sorted((dot.y for dot in model.dots), reverse=True)


def test_methods_keep_their_order_and_the_leading_one_stands_out():
    table = generation.metric_table(video_group(), KVD_TOK)
    assert (table.title, table.extractor, table.better) == ("video/kvd-tok", "i3d-k400", "down")
    assert [row.name for row in table.rows] == ["repeat last frame", "teacher forcing 4step", "dmd"]
    assert [row.style for row in table.rows] == ["baseline", "other-2", "model leading"]
    assert table.notes[0] == "n = 8 clips of 8 logs; reference: 8 clips of 8 other logs."


def test_a_distance_without_its_bias_has_a_column_where_there_is_one():
    group = video_group()
    assert "n → ∞" not in generation.metric_table(group, KVD_TOK).heads
    method = group.methods[-1]
    metric = method.metrics[0].model_copy(update={"at_infinity": 31.5})
    other = group.model_copy(update={"methods": (method.model_copy(update={"metrics": (metric,)}),)})
    table = generation.metric_table(other, KVD_TOK)
    assert table.heads[-1] == "n → ∞" and table.rows[0].cells[0].text == "31.50"


def test_raw_distances_stand_back_behind_the_fair_ones():
    group = video_group(metrics=("video/kvd@i3d-k400", KVD_TOK, PSNR))
    assert generation.metric_ids(group) == ([KVD_TOK, PSNR], ["video/kvd@i3d-k400"])


def test_paired_differences_say_better_worse_or_cannot_tell():
    group = video_group(values={"repeat_last_frame": 100.0, "teacher_forcing_4step": 42.0, "dmd": 40.0})
    (table,), more = generation.pair_tables(group)
    assert [(row.note, row.value, row.cells[0].text) for row in table.rows] == [
        ("dmd less repeat last frame", "−60.00", "better"),
        ("dmd less teacher forcing 4step", "−2.00", "cannot tell"),
    ]
    assert more == []


def test_drift_has_a_chart_a_metric_with_windows_at_their_middle():
    assert generation.drift_charts(video_group(), 10.0) == []
    group = video_group()
    windows = tuple(
        Window(first=1 + 16 * i, last=16 + 16 * i, metrics=(video_metric(KVD_TOK, 40.0 + 10 * i),)) for i in range(2)
    )
    drifting = group.methods[-1].model_copy(update={"windows": windows})
    (drawn,) = generation.drift_charts(group.model_copy(update={"methods": (*group.methods[:-1], drifting)}), 10.0)
    assert drawn.title == f"Drift of {KVD_TOK}"
    (series,) = drawn.series
    assert [dot.name for dot in series.dots] == ["dmd, frames 1 to 16: 40", "dmd, frames 17 to 32: 50"]
    assert series.dots[0].high < series.dots[0].y < series.dots[0].low


def test_published_numbers_stand_beside_ours_only_under_their_protocol(make_report):
    report = make_report(waymo={"image/psnr": [26.5]})
    assert published_tables(report) == []
    waymo = SourceProtocol(cameras=("front",), n_frames=(20,), resolutions=("160x240",))
    protocol = Protocol(preset=PRESETS["storm-waymo"], context_stride=5, metrics_version=1, sources={"waymo": waymo})
    (table,) = published_tables(report.model_copy(update={"protocol": protocol}))
    names = [row.name for row in table.rows]
    assert names[0] == "WorldRec" and table.rows[0].value == "28.48"
    assert names.index("DGGT") < names.index("WorldModel") < names.index("STORM")
    assert table.rows[names.index("WorldModel")].cells[0].text == "this report"
    assert any("arxiv.org/abs/2605.18137" in note for note in table.notes)
