"""What a stage says of its own curve."""

from flows.generation import _verdict


def test_the_verdict_on_a_curve_prefers_validation_and_admits_what_it_cannot_say() -> None:
    rising = [{"step": 1.0, "loss": 1.0}, {"step": 2.0, "loss": 2.0}]
    assert _verdict(rising).endswith("did NOT fall: 1.0000 to 2.0000")
    validated = [record | {"val_loss": 3.0 - record["step"]} for record in rising]
    assert _verdict(validated) == "the loss on validation samples fell: 2.0000 to 1.0000"
    assert "no loss of this stage" in _verdict([{"step": 1.0, "fake_flow": 1.0}])
