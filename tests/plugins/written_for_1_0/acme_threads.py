"""A backend written for sampler API 1.0: see acme_spec.py."""

import queue
import threading

from samplerkit.sampling import CarrierGone, Option, PoolSampler, Transport, check_count, serve


class Carrier:
    def __init__(self, setup, outbox):
        self.inbox = queue.SimpleQueue()
        self.thread = threading.Thread(
            target=serve,
            args=(setup, self.inbox.get, lambda data: outbox.put((self, data))),
            daemon=True,
        )
        self.thread.start()


class AcmeTransport(Transport):
    def __init__(self, n_threads):
        self.n_threads = n_threads
        self.outbox = queue.SimpleQueue()

    @property
    def n_carriers(self):
        return self.n_threads

    def start(self, index, setup):
        return Carrier(setup, self.outbox)

    def send(self, carrier, message):
        if not carrier.thread.is_alive():
            raise CarrierGone
        carrier.inbox.put(message)

    def receive(self, carriers, timeout):
        try:
            item = self.outbox.get_nowait() if timeout == 0 else self.outbox.get(timeout=timeout)
        except queue.Empty:
            return []
        return [item] if item is not None and item[0] in carriers else []

    def exit_status(self, carrier):
        return None

    def kill(self, carrier):
        raise NotImplementedError

    def stop(self, carrier, timeout):
        carrier.inbox.put(None)
        carrier.thread.join(timeout)

    def wake(self):
        self.outbox.put(None)


class AcmeSampler(PoolSampler):
    options = {"n_threads": Option(2, check_count), **PoolSampler.options}  # noqa: RUF012

    def make_transport(self):
        return AcmeTransport(self.option("n_threads"))
