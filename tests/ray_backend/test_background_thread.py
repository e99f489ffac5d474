"""The thread that Ctrl-C must not reach, nor what it starts."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from samplerkit_ray.background_thread import BackgroundThread

BLOCKED = "import signal; print(int(signal.SIGINT) in signal.pthread_sigmask(signal.SIG_BLOCK, []))"


def test_what_is_started_aside_never_gets_a_ctrl_c_and_the_program_goes_on_to():
    said: list[str] = []
    aside = BackgroundThread()

    def start() -> None:
        said.append(subprocess.check_output([sys.executable, "-c", BLOCKED], text=True).strip())
        aside.dismiss()

    aside.do(start)
    assert said == ["True"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_things_are_done_one_after_the_other_in_one_thread_up_to_the_dismissal():
    threads: list[threading.Thread] = []
    aside = BackgroundThread()
    aside.do(lambda: threads.append(threading.current_thread()))
    aside.do(lambda: (threads.append(threading.current_thread()), aside.dismiss()))
    assert threads[0] is threads[1] is not threading.current_thread()
    assert not threads[0].is_alive()
