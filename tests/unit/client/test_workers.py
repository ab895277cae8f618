import threading

from colours import WAIT_S

from luxe_client import Client, _transport
from luxe_client._workers import Workers


def nothing():
    pass


def test_a_thread_is_used_again():
    """Whoever hears that a job is done finds the thread free, however early it asks."""
    workers, done = Workers(8), threading.Event()
    ran = []

    def job():
        ran.append(threading.current_thread())

    def again():
        if len(ran) < 50:
            assert workers.take(job, again)
        else:
            done.set()

    assert workers.take(job, again)
    assert done.wait(WAIT_S)
    assert len(set(ran)) == 1


def test_no_more_threads_than_allowed():
    workers, release, started = Workers(3), threading.Event(), threading.Semaphore(0)

    def job():
        started.release()
        release.wait(WAIT_S)

    taken = [workers.take(job, nothing) for _ in range(5)]
    assert taken == [True, True, True, False, False]
    for _ in range(3):
        assert started.acquire(timeout=WAIT_S)
    release.set()


def test_idle_threads_end(monkeypatch):
    monkeypatch.setattr("luxe_client._workers._IDLE_S", 0.05)
    workers, ran = Workers(4), []
    workers.take(lambda: ran.append(threading.current_thread()), nothing)
    while not ran:
        pass
    ran[0].join(WAIT_S)
    assert not ran[0].is_alive()
    done = threading.Event()
    assert workers.take(nothing, done.set)
    assert done.wait(WAIT_S)


def test_calls_go_on_when_all_threads_wait(triton, monkeypatch):
    monkeypatch.setattr(_transport, "_FEW", 1)
    with Client(triton.address, timeout_s=WAIT_S, batch_size=1, concurrency=8) as client:
        triton.delay(0.1)
        answers = client.classify("colours", [f"text {n}" for n in range(16)])
    assert len({answer.request_id for answer in answers}) == 16


HANGS = """
import sys
from luxe_client import Client, DeadlineExceeded
client = Client(sys.argv[1], timeout_s=0.2)
try:
    client.classify("colours", "red")
except DeadlineExceeded:
    print("late")
"""


def test_a_program_ends_though_an_answer_never_comes(triton, start_python):
    triton.hang()
    process = start_python(HANGS, triton.address)
    out, err = process.communicate(timeout=15)
    assert (process.returncode, out, err) == (0, "late\n", "")
    triton.recover()
