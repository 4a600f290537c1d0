"""Lettering that fits."""

from evaluation.pictures.style import Lettering, shortened


def test_a_text_that_does_not_fit_loses_its_middle() -> None:
    look = Lettering(10)
    assert shortened("short", 120, look) == "short"
    cut = shortened("multicam_drive-0aef6f94.front_wide.000", 120, look)
    assert cut == "multic…ront_wide.000" and len(cut) == 20
