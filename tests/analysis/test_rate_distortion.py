"""Notes on a rate-distortion curve that was drawn from too few chains."""

from sritool.analysis.rate_distortion import Point, on_order


def curve(*pairs: tuple[float, float]) -> list[Point]:
    return [
        Point("run", "sri", beta / 10, rate, 0.1, distortion, 0.1, None, 8, 4)
        for beta, (rate, distortion) in enumerate(pairs)
    ]


def test_non_monotonic_steps_are_counted() -> None:
    assert on_order(curve((0, 9), (1, 8), (2, 7.5))) == []
    assert on_order(curve((0, 9))) == []
    (note,) = on_order(curve((0, 9), (-0.1, 8.5), (1, 8.6), (2, 8)))
    assert note.startswith("2 of 3 steps")
