"""The request body as the client sent it."""

from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import APIException
from rest_framework.parsers import BaseParser


class BodyTooLarge(APIException):
    status_code = 413
    default_detail = "The body is larger than this server takes."
    default_code = "too_large"


class EncodedBody(APIException):
    status_code = 415
    default_detail = "Send the body without Content-Encoding."
    default_code = "unsupported_encoding"


class RawJSONParser(BaseParser):
    """Hands the view the bytes of a JSON body: the request's schema reads them itself.

    Read from the stream, because Django's own limit on a body (2.5 MiB) is below a bulk request
    of 10,000 contacts. Raises `BodyTooLarge` above the view's `max_body_bytes`, or where it names
    none above BULK_MAX_BODY_BYTES, and `EncodedBody` for a compressed one.
    """

    media_type = "application/json"

    def parse(  # type: ignore[override]  # the stubs know parsed bodies only
        self, stream: IO[Any], media_type: str | None = None, parser_context: Any = None
    ) -> bytes:
        request, view = parser_context["request"], parser_context["view"]
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise EncodedBody
        limit = getattr(view, "max_body_bytes", settings.BULK_MAX_BODY_BYTES)
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise BodyTooLarge
        return bytes(body)
