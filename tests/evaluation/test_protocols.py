"""Protocols: what each name stands for is frozen, and any change of it is another protocol."""

import pytest

from evaluation.protocols import PRESETS, Preset, preset
from worldmodel.data.protocol import context_frames, target_frames
from worldmodel.errors import ParamsError

FINGERPRINTS = {name: each.fingerprint for name, each in PRESETS.items()}


def test_a_name_stands_for_what_it_stood_for_when_numbers_were_published_under_it():
    """A preset that must change becomes another one, with a name of its own."""
    assert {name: fingerprint[:16] for name, fingerprint in FINGERPRINTS.items()} == {
        "debug": "19834596d5d21612",
        "tiny": "bec9d95aeaefe62a",
        "storm-waymo": "64a291db050508ac",
        "vista25": "b14e23f544588148",
        "wcoda16": "78e377541fbbfff4",
        "own16": "00bdf081cf4b4765",
    }


def test_no_two_presets_are_the_same_but_for_their_names():
    anonymous = [each.model_copy(update={"name": "", "says": ""}).fingerprint for each in PRESETS.values()]
    assert len(set(anonymous)) == len(anonymous)
    assert all(each.name == name for name, each in PRESETS.items())


def test_every_field_of_a_preset_is_in_its_fingerprint():
    one = PRESETS["vista25"]
    changes = {
        "name": "x", "says": "x", "dataset": None, "split": "test", "cameras": None, "height": 1, "width": 1,
        "generation": None, "reconstruction": PRESETS["tiny"].reconstruction,
    }  # fmt: skip
    assert set(changes) == set(Preset.model_fields)
    for field, value in changes.items():
        assert one.model_copy(update={field: value}).fingerprint != one.fingerprint, field


def test_storm_gives_frames_0_5_10_15_of_20_and_measures_the_other_16():
    reconstruction = PRESETS["storm-waymo"].reconstruction
    clip = (reconstruction.clip_frames, reconstruction.context_stride)
    assert clip[0] / reconstruction.rate_hz == 2.0
    assert context_frames(*clip) == (0, 5, 10, 15) and len(target_frames(*clip)) == 16


@pytest.mark.parametrize("name", [name for name, each in PRESETS.items() if each.dataset is not None])
def test_a_published_dataset_is_measured_on_its_validation_split_with_named_cameras(name):
    assert PRESETS[name].split == "val" and PRESETS[name].cameras


def test_an_unknown_protocol_is_refused_with_those_there_are():
    with pytest.raises(ParamsError, match="protocol vista: no such preset") as caught:
        preset("vista")
    assert caught.value.expected == " or ".join(PRESETS)
