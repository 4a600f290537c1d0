"""The two-level tracer against one ray and one box at a time."""

import numpy as np
import pytest

from worldmodel.data.synthetic.shadows import Shadows
from worldmodel.data.synthetic.solids import Material, Solids, SolidsBuilder, concatenate
from worldmodel.data.synthetic.surface import surface_at
from worldmodel.data.synthetic.tracer import GROUP, MISS, Tracer, bundle_planes

ORIGIN = np.array([1000.0, -500.0, 1.5])


def _all_leaf(card: np.ndarray, u: np.ndarray, v: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    return np.ones(len(card), bool)


def _upper_half(card: np.ndarray, u: np.ndarray, v: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    return np.asarray(v > 0)


def _random_boxes(count: int) -> Solids:
    rng = np.random.default_rng(count)
    builder = SolidsBuilder()
    for _ in range(count):
        x, y, z = ORIGIN + rng.uniform([-40, -40, -3], [40, 40, 8])
        size = rng.uniform(0.2, 6, 3)
        if np.hypot(x - ORIGIN[0], y - ORIGIN[1]) > 6:
            builder.add((x, y, z), tuple(size), Material.PLAIN, (1, 1, 1), yaw=rng.uniform(0, 6))
    return builder.build()


def _slow_hit(direction: np.ndarray, solids: Solids) -> tuple[float, int]:
    best = (np.inf, int(MISS))
    for k in range(len(solids)):
        cosine, sine = solids.heading[k]
        turn = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]], np.float64)
        start, along = turn @ (ORIGIN - solids.centre[k]), turn @ direction
        bounds = np.sort(np.stack([(-solids.half[k] - start) / along, (solids.half[k] - start) / along]), axis=0)
        if 0.2 < bounds[0].max() < min(bounds[1].min(), best[0]):
            best = (float(bounds[0].max()), k)
    return best


def test_tracing_in_bundles_finds_what_testing_every_box_finds() -> None:
    solids = _random_boxes(500)
    rng = np.random.default_rng(0)
    corners = np.array(
        [[(1, y, z) for y, z in ((a, 0.3), (a + 0.4, 0.3), (a + 0.4, -0.2), (a, -0.2))] for a in (-0.9, 0.1)]
    )
    tracer = Tracer(ORIGIN, solids, 0.01, _all_leaf)
    candidates = tracer.candidates(bundle_planes(corners.astype(np.float32)))
    hits = 0
    for bundle, near in zip(corners, candidates, strict=True):
        assert GROUP < len(near) < len(solids)
        weights = rng.dirichlet(np.ones(4), 100)
        directions = weights @ bundle
        t, solid = tracer.cast(directions.astype(np.float32), near)
        expected = [_slow_hit(direction, solids) for direction in directions]
        assert (solid == [k for _, k in expected]).mean() > 0.98
        same = solid == [k for _, k in expected]
        np.testing.assert_allclose(t[same], np.array([d for d, _ in expected])[same], rtol=1e-3)
        hits += int((solid != MISS).sum())
    assert hits > 50


def test_a_ray_without_candidates_misses() -> None:
    tracer = Tracer(ORIGIN, _random_boxes(5), 0.01, _all_leaf)
    t, solid = tracer.cast(np.ones((3, 3), np.float32), np.array([], np.intp))
    assert np.isinf(t).all()
    assert (solid == MISS).all()


def _card_before_wall() -> Solids:
    builder = SolidsBuilder()
    builder.add((ORIGIN[0] + 5, ORIGIN[1], ORIGIN[2]), (0, 4, 4), Material.FOLIAGE, (0, 1, 0))
    builder.add((ORIGIN[0] + 10, ORIGIN[1], ORIGIN[2]), (1, 40, 40), Material.FACADE, (1, 0, 0))
    return builder.build()


def test_rays_pass_between_leaves() -> None:
    tracer = Tracer(ORIGIN, _card_before_wall(), 0.01, _upper_half)
    directions = np.array([(1, 0, 0.1), (1, 0, -0.1)], np.float32)
    t, solid = tracer.cast(directions, np.arange(2))
    np.testing.assert_array_equal(solid, [0, 1])
    np.testing.assert_allclose(t, [5, 9.5], rtol=1e-3)


def test_a_surface_knows_its_face_position_and_footprint() -> None:
    solids = _card_before_wall().take(np.array([1]))
    directions = np.array([(1, 0.2, 0.1)], np.float32)
    steps = np.array((0, -0.02, 0), np.float32), np.array((0, 0, -0.01), np.float32)
    surface = surface_at(ORIGIN, directions, np.array([9.5], np.float32), np.array([0], np.int32), solids, steps)
    np.testing.assert_allclose(surface.normal, [[-1, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(surface.uv, [[1.9, 0.95]], rtol=1e-5)
    np.testing.assert_allclose(surface.width, [[0.19, 0.095]], rtol=1e-5)
    np.testing.assert_allclose(surface.distance, 9.5 * np.sqrt(1.05), rtol=1e-5)


def _shadows(cutout: object = _all_leaf, material: Material = Material.PLAIN) -> Shadows:
    builder = SolidsBuilder()
    builder.add((ORIGIN[0], ORIGIN[1], 5.0), (4, 4, 2), material, (1, 1, 1))
    return Shadows(np.array([0, 0, 1], np.float32), builder.build(), ORIGIN, cutout)  # type: ignore[arg-type]


def _ground(x: list[float]) -> np.ndarray:
    return np.stack([np.array(x), np.zeros(len(x)), np.full(len(x), -ORIGIN[2])], -1).astype(np.float32)


def test_points_under_a_box_are_dark_and_others_are_lit() -> None:
    light = _shadows().sunlight(_ground([0, 1.5, 3, 10]), np.full(4, 0.1, np.float32))
    np.testing.assert_array_equal(light, [0, 0, 1, 1])


def test_a_box_below_a_point_casts_no_shadow_on_it() -> None:
    above = _ground([0.0]) + np.array([0, 0, 20], np.float32)
    assert _shadows().sunlight(above, np.array([0.1], np.float32))[0] == 1


def test_soft_shadows_of_thin_things_are_light() -> None:
    softness = np.array([0.1, 4.0], np.float32)
    light = _shadows().sunlight(_ground([0, 0]), softness)
    assert light[0] == 0
    assert light[1] == pytest.approx(0.5, abs=0.01)


def test_shadows_of_several_boxes_do_not_depend_on_their_order() -> None:
    solids = _random_boxes(60)
    sun = np.array([0.48, 0.6, 0.64], np.float32)
    points = _ground(list(np.linspace(-30, 30, 200)))
    softness = np.full(200, 0.2, np.float32)
    both = [
        Shadows(sun, concatenate([solids.take(order)]), ORIGIN, _all_leaf).sunlight(points, softness)
        for order in (np.arange(len(solids)), np.arange(len(solids))[::-1])
    ]
    assert 0 < both[0].mean() < 1
    np.testing.assert_allclose(both[0], both[1], atol=1e-6)
