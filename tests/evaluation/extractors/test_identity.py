import pytest

from evaluation.extractors.identity import Kind, check_metric_name, identity_of
from evaluation.extractors.weights import I3D_K400
from worldmodel.errors import DataError


def test_a_metrics_name_is_for_the_canonical_network_that_it_names() -> None:
    check_metric_name("video/fvd@i3d-k400", identity_of(I3D_K400, "logits", 400, "squash224"))


@pytest.mark.parametrize(
    ("metric_id", "kind"),
    [("video/fvd@i3d-k400", "surrogate"), ("video/fvd@i3d-k400", "synthetic"), ("image/fid@inception", "canonical")],
)
def test_numbers_of_another_network_may_not_bear_it(metric_id: str, kind: Kind) -> None:
    with pytest.raises(DataError, match=f"{metric_id} was measured with i3d-k400, a {kind} network"):
        check_metric_name(metric_id, identity_of(I3D_K400, "logits", 400, "squash224", kind))


def test_any_change_of_network_layer_or_input_is_another_identity() -> None:
    one = identity_of(I3D_K400, "logits", 400, "squash224")
    changes: list[dict[str, object]] = [{"layer": "pool"}, {"input": "other"}, {"kind": "surrogate"}, {"dims": 4}]
    others = {one.model_copy(update=change).fingerprint for change in changes}
    assert len(others) == 4 and one.fingerprint not in others
