"""Errors in the shape the API promises."""

from typing import Any

from rest_framework import views
from rest_framework.response import Response

from contacts.validation import InvalidInput


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """`{"detail": "…"}`, or for a refused body `{"detail": [{"loc", "msg", "type"}, …]}`."""
    if isinstance(error, InvalidInput):
        return Response({"detail": error.errors}, status=422)
    return views.exception_handler(error, context)
