"""The simulator as a source, against a clock in the test's hand."""

from sensing.simulator import Simulated
from sensing.sources import SimulatedSource

BEGUN_MS = 1_795_000_000_000


def test_a_sensor_that_lives_faster_keeps_to_the_clock_once_it_has_caught_up():
    passed_s = 0.0
    source = SimulatedSource(
        [Simulated("machine", start_ms=BEGUN_MS - 590_000)],
        speed=60.0,
        clock_s=lambda: passed_s,
        now_ms=lambda: BEGUN_MS + int(passed_s * 1000),
    )

    newest_ms = []
    for second in range(1, 21):
        passed_s = float(second)
        (readings,) = source.poll(0.0)
        newest_ms.append(int(readings.at_ms[-1]))

    now_ms = [BEGUN_MS + second * 1000 for second in range(1, 21)]
    assert newest_ms[:9] == [BEGUN_MS - 591_000 + second * 60_000 for second in range(1, 10)]
    assert newest_ms[10:] == now_ms[10:]
    assert all(newest <= now for newest, now in zip(newest_ms, now_ms, strict=True))
