"""Every answer carries an id that stands in the log too."""

import contextvars
import logging
import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

HEADER = "X-Request-ID"
GIVEN = re.compile(r"[\w.-]{1,64}", re.ASCII)
current: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")


class RequestIdMiddleware:
    """Names the request: as the client or the proxy did, if it is a plain name, else anew."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        given = request.headers.get(HEADER, "")
        name = given if GIVEN.fullmatch(given) else uuid.uuid4().hex
        token = current.set(name)
        try:
            response = self.get_response(request)
        finally:
            current.reset(token)
        response[HEADER] = name
        return response


class RequestIdFilter(logging.Filter):
    """Gives every record the id of the request it belongs to, or `-`."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current.get()
        return True
