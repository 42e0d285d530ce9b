"""A load balancer on loopback: each connection goes to the next backend that takes it. A thread of its own."""

import contextlib
import itertools
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence


class Balancer:
    """`taken` counts connections by backend port."""

    def __init__(self, port: int, backends: Sequence[int]) -> None:
        self._turns = itertools.cycle(backends)
        self._backends = backends
        self.taken: Counter[int] = Counter()
        self._listening = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                front, _ = self._listening.accept()
                threading.Thread(target=self._carry, args=(front,), daemon=True).start()

    def _carry(self, front: socket.socket) -> None:
        with front:
            back = self._connect()
            if back is None:
                return
            with back:
                other = threading.Thread(target=_pump, args=(back, front), daemon=True)
                other.start()
                _pump(front, back)
                other.join()

    def _connect(self) -> socket.socket | None:
        for _ in self._backends:
            port = next(self._turns)
            with contextlib.suppress(OSError):
                back = socket.create_connection(("127.0.0.1", port), timeout=5)
                back.settimeout(None)
                self.taken[port] += 1
                return back
        return None


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65_536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def balanced(port: int, backends: Sequence[int]) -> Iterator[Balancer]:
    balancer = Balancer(port, backends)
    try:
        yield balancer
    finally:
        balancer.close()
