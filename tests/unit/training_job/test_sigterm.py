import os
import signal
import time

from training_job.sigterm import Termination


def test_a_forked_worker_ends_at_once() -> None:
    with Termination() as termination:
        begun, tell = os.pipe()
        worker = os.fork()
        if worker == 0:
            os.write(tell, b".")
            time.sleep(60)
            os._exit(0)
        os.read(begun, 1)  # Python drops signals that come while it forks
        os.kill(worker, signal.SIGTERM)
        assert os.waitpid(worker, 0)[1] == signal.SIGTERM
        assert not termination.is_requested
        os.kill(os.getpid(), signal.SIGTERM)
        assert termination.is_requested
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
