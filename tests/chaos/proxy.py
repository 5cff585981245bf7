"""A TCP proxy in front of a server that others use too: what breaks is only our way to it."""

import socket
from contextlib import suppress
from threading import Lock, Thread
from typing import Self
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 65_536


class Proxy:
    """Passes connections on to `host`:`port` inside its `with` block, from a free port of
    127.0.0.1; `cut` and `mend` may be called from any thread.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = (host, port)
        self.port = 0
        self._listener: socket.socket | None = None
        self._sockets: set[socket.socket] = set()
        self._lock = Lock()

    def __enter__(self) -> Self:
        self.mend()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def in_front_of(self, url: str) -> str:
        """The same address, by way of this proxy."""
        parts = urlsplit(url)
        account = parts.netloc.rpartition("@")[0]
        netloc = f"{account}@127.0.0.1:{self.port}" if account else f"127.0.0.1:{self.port}"
        return urlunsplit(parts._replace(netloc=netloc))

    def mend(self) -> None:
        """Take connections (again, and then on the same port)."""
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", self.port), backlog=256)
                self.port = self._listener.getsockname()[1]
                Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        with self._lock:
            if self._listener:
                _shut(self._listener)
                self._listener.close()
                self._listener = None
            for one in self._sockets:
                _shut(one)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it is closed by `cut`
            while True:
                client, _ = listener.accept()
                Thread(target=self._pass_on, args=[client, listener], daemon=True).start()

    def _pass_on(self, client: socket.socket, listener: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(self.target) as server:
            pair = {client, server}
            with self._lock:
                if self._listener is not listener:  # cut since this connection was taken
                    return
                self._sockets |= pair
            back = Thread(target=_copy, args=[server, client], daemon=True)
            back.start()
            _copy(client, server)
            back.join()
            with self._lock:
                self._sockets -= pair


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data)
    _shut(source)
    _shut(target)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)


def proxy_for(url: str, default_port: int) -> Proxy:
    parts = urlsplit(url)
    return Proxy(parts.hostname or "127.0.0.1", parts.port or default_port)
