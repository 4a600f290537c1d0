import pytest

from evaluation.base import Interval, fingerprint
from evaluation.comparison import Comparison, Difference, difference_name, protocol_difference, require_same_protocol
from evaluation.protocols import PRESETS
from evaluation.report import Protocol
from tests.evaluation.gating import GOOD, I3D, report
from worldmodel.errors import DataError, ProtocolMismatchError

RAW = {
    "source": "synthetic",
    "split": "test",
    "metric": "depth/rmse",
    "unit": "m",
    "direction": "down",
    "n_clips": 5,
    "n_logs": 5,
    "challenger": 2.0,
    "champion": 3.0,
    "difference": -1.0,
    "ci95": Interval(low=-1.5, high=-0.5),
    "verdict": "better",
}


def test_gain_and_worst_end_are_turned_so_that_positive_is_better():
    found = Difference.model_validate(RAW)
    assert (found.gain, found.worst) == (1.0, 0.5)
    up = Difference.model_validate(RAW | {"direction": "up", "verdict": "worse"})
    assert (up.gain, up.worst) == (-1.0, -1.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"difference": 1.0}, "not challenger - champion"),
        ({"verdict": "worse"}, "does not follow"),
        ({"verdict": "cannot tell"}, "does not follow"),
        ({"ci95": None}, "either an interval or the reason"),
        ({"ci95": None, "no_interval": "2 logs", "verdict": "cannot tell"}, "5 logs, and no interval"),
        ({"difference": float("nan")}, "finite"),
    ],
)
def test_a_difference_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Difference.model_validate(RAW | changes)


def test_a_comparison_holds_each_difference_once_or_says_why_not():
    one = Difference.model_validate(RAW)
    shas = {"challenger_report_sha256": "a", "champion_report_sha256": "b"}
    found = Comparison(**shas, differences=(one,), left_out={"synthetic/test/dmd/video/psnr": "no features"})
    assert found.find("synthetic/test/depth/rmse") == one
    assert found.find("synthetic/test/dmd/video/psnr") == "no features"
    assert found.find("x") == "x was not compared"
    for broken in ({"differences": (one, one)}, {"differences": (one,), "left_out": {one.name: "?"}}):
        with pytest.raises(ValueError, match="appears twice"):
            Comparison(**shas, **broken)


def test_the_name_of_a_difference_says_all_that_makes_it_another():
    names = {
        difference_name("a", "test", "image/psnr"),
        difference_name("a", "test", "image/psnr", "dynamic"),
        difference_name("a", "test", "image/psnr", method="dmd"),
        difference_name("a", "test", "image/psnr", part="light=night"),
        difference_name("a", "val", "image/psnr"),
    }
    assert len(names) == 5 and "a/test/image/psnr[dynamic]" in names


PROTOCOL = Protocol(preset=PRESETS["tiny"], context_stride=5, metrics_version=1, sources={}, extractors=(I3D,))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"context_stride": 4}, "protocol.context_stride: 5 and 4"),
        ({"metrics_version": 2}, "protocol.metrics_version: 1 and 2"),
        ({"preset": PRESETS["own16"]}, "protocol.preset.name: tiny and own16"),
        ({"extractors": ()}, "protocol.extractors: "),
        (
            {"extractors": (I3D.model_copy(update={"file_sha256": "0"}),)},
            f"protocol.extractors[0].file_sha256: {'f' * 64} and 0",
        ),
        (
            {"sources": {"a": {"cameras": ("front",), "n_frames": (20,), "resolutions": ("64x96",)}}},
            "protocol.sources.a: None and {",
        ),
    ],
)
def test_the_field_in_which_two_protocols_differ_is_named(changes, field):
    other = Protocol.model_validate(PROTOCOL.model_dump() | changes)
    assert protocol_difference(PROTOCOL, PROTOCOL) is None
    assert protocol_difference(PROTOCOL, other).startswith(field)
    with pytest.raises(ProtocolMismatchError, match="worldmodel evaluate") as error:
        require_same_protocol(PROTOCOL, other)
    assert error.value.got.startswith(field) and isinstance(error.value, DataError)


def test_protocols_differ_in_a_field_exactly_where_their_fingerprints_do():
    one = report(synthetic=GOOD).protocol
    other = one.model_copy(update={"metrics_version": one.metrics_version + 1})
    assert (protocol_difference(one, other) is None) == (fingerprint(one) == fingerprint(other))
