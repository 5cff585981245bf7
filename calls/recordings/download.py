"""Getting a recording from where a provider says that it lies, which may be anywhere."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Self

import httpx2
from django.conf import settings

from calls.recordings.sounds import BEGINNING, Sound, may_be_sound, sound_of
from calls.webhooks.addresses import AddressNotAllowed
from calls.webhooks.network import DeadlineTransport

# All of a download, its redirects included; and the silence between two bytes.
DOWNLOAD_SECONDS, SILENT_SECONDS, CONNECT_SECONDS = 60, 15, 10
MAX_REDIRECTS = 3
HEADERS = {
    "accept": "audio/*, application/octet-stream",
    "accept-encoding": "identity",
    "user-agent": "collections-platform",
}


@dataclass(frozen=True, slots=True)
class Download:
    """A whole recording, in a temporary file that has no name and ends with its last user."""

    file: IO[bytes]
    size: int
    sound: Sound


class NoRecording(Exception):
    """There is no recording to be had; the text says why, in a few words, without the address.

    `is_final`: another try would end the same way. `is_silent`: the server does not answer, or
    not in time, so that its other recordings can be had no better.
    """

    def __init__(self, why: str, *, is_final: bool = False, is_silent: bool = False) -> None:
        self.is_final, self.is_silent = is_final, is_silent
        super().__init__(why)


class Downloader:
    """Gets recordings, from the public internet by https and elsewhere only as
    WEBHOOK_ALLOWED_NETWORKS says; threads may share it. Closed at the end of its `with` block.
    """

    def __init__(self) -> None:
        transport = DeadlineTransport()
        self._deadline = transport.deadline
        self._client = httpx2.Client(
            transport=transport,
            timeout=httpx2.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS),
            trust_env=False,
            headers=HEADERS,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._client.close()

    @property
    def is_stopped(self) -> bool:
        return self._deadline.stopped.is_set()

    def stop(self) -> None:
        """Wait for nothing any more: what is under way fails."""
        self._deadline.stopped.set()

    def get(self, url: str) -> Download:
        """Get the recording at this address, within `DOWNLOAD_SECONDS` altogether. Raises
        `NoRecording`.
        """
        try:
            with self._deadline.within(DOWNLOAD_SECONDS), self._answer(url) as response:
                return _read(response)
        except NoRecording:
            raise
        except AddressNotAllowed as refusal:
            raise NoRecording(str(refusal), is_final=True) from None
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            raise NoRecording("no address of http", is_final=True) from None
        except httpx2.TimeoutException:
            raise NoRecording("no whole answer in time", is_silent=True) from None
        except Exception as error:  # whatever it is: this try has failed, not the others
            is_silent = isinstance(error, httpx2.ConnectError)
            raise NoRecording(type(error).__name__, is_silent=is_silent) from None

    @contextmanager
    def _answer(self, url: str) -> Iterator[httpx2.Response]:
        """The answer behind up to `MAX_REDIRECTS` redirects, whose own bodies are not read. Every
        hop is judged when it is dialled.
        """
        request = self._client.build_request("GET", url)
        for _ in range(MAX_REDIRECTS + 1):
            response = self._client.send(request, stream=True, follow_redirects=False)
            try:
                if not response.has_redirect_location:
                    yield response
                    return
            finally:
                response.close()
            if response.next_request is None:
                raise NoRecording("a redirect to no address", is_final=True)
            request = response.next_request
        raise NoRecording("too many redirects")


def _read(response: httpx2.Response) -> Download:
    if response.status_code != 200:
        raise NoRecording(f"answered with {response.status_code}")
    if not may_be_sound(response.headers.get("content-type", "")):
        raise NoRecording("no sound", is_final=True)
    length = response.headers.get("content-length", "")
    if length.isdecimal():
        _check_size(int(length))
    file = tempfile.TemporaryFile()  # noqa: SIM115  closed by whoever stores it
    try:
        size, sound = _write(response, file)
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return Download(file, size, sound)


def _write(response: httpx2.Response, file: IO[bytes]) -> tuple[int, Sound]:
    """Write the answer into the file as it comes, as long as it may be a recording; return its
    size and kind.
    """
    beginning, size, sound = b"", 0, None
    for chunk in response.iter_raw():
        size += len(chunk)
        _check_size(size)
        file.write(chunk)
        if sound is None:
            beginning += chunk[:BEGINNING]
            sound = sound_of(beginning)
            if sound is None and size >= BEGINNING:
                raise NoRecording("no sound", is_final=True)
    if not size:
        raise NoRecording("an empty answer")
    if sound is None:
        raise NoRecording("no sound", is_final=True)
    return size, sound


def _check_size(size: int) -> None:
    if size > settings.RECORDING_MAX_BYTES:
        raise NoRecording("larger than RECORDING_MAX_BYTES", is_final=True)
