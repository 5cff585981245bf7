import socket

import pytest

from collections_platform.ops.webhook_receiver import WebhookReceiver
from tests.chaos.proxy import Proxy, proxy_for


def ask(address: tuple[str, int]) -> bytes:
    with socket.create_connection(address, 5) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        return connection.recv(100)


def is_broken(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_it_passes_on_and_breaks_and_refuses_and_passes_on_again(receiver: WebhookReceiver) -> None:
    with proxy_for(receiver.url, 80) as proxy:
        address = ("127.0.0.1", proxy.port)
        assert ask(address).startswith(b"HTTP/1.1 204")

        open_one = socket.create_connection(address, 5)
        open_one.sendall(b"POST / HTTP/1.1\r\n")
        proxy.cut()
        with open_one:
            assert is_broken(open_one)
        with pytest.raises(ConnectionRefusedError):
            ask(address)

        proxy.mend()
        assert ask(address).startswith(b"HTTP/1.1 204")


def test_an_address_keeps_its_account_and_its_path() -> None:
    proxy = Proxy("db", 5432)
    proxy.port = 6000

    assert proxy.in_front_of("postgresql://u:p@db/x?y=1") == "postgresql://u:p@127.0.0.1:6000/x?y=1"
    assert proxy.in_front_of("redis://db:6379/9") == "redis://127.0.0.1:6000/9"
