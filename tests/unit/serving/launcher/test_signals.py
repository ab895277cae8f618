import os
import signal
import time

import pytest

from luxe_serving.launcher.signals import Signals


@pytest.fixture
def signals():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield Signals()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_only_sleeping_is_cut_off(signals, number):
    os.kill(os.getpid(), number)
    time.sleep(0.05)  # whatever is at work goes on
    for _ in range(2):  # and whoever waits then is told, each time
        with pytest.raises(KeyboardInterrupt):
            signals.sleep(60)


def test_reading_is_cut_off_anywhere_and_its_cleaning_up_is_not(signals):
    cleaned = []
    with pytest.raises(KeyboardInterrupt), signals.anywhere():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
            pytest.fail("not cut off")
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            cleaned.append(True)
    assert cleaned


def test_a_signal_before_reading_is_not_lost(signals):
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), signals.anywhere():
        pytest.fail("began to read")


def test_it_waits(signals):
    began = time.monotonic()
    signals.sleep(0.25)
    assert 0.25 <= time.monotonic() - began < 1
