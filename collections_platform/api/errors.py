"""Errors in the shape the API promises: JSON, on every path and for every status."""

from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import views
from rest_framework.response import Response

from contacts.validation import InvalidInput

RETRY_AFTER_SECONDS = 5
ADMIN = "/admin/"


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """`{"detail": "…"}`, or for input that was refused `{"detail": [{"loc", "msg", "type"}, …]}`.

    A database that is busy, full or gone is 503: nothing was stored, and the same request may be
    sent again.
    """
    if isinstance(error, InvalidInput):
        return Response({"detail": error.errors}, status=422)
    if isinstance(error, OperationalError | InterfaceError):
        answer = Response({"detail": "The database does not answer. Try again."}, status=503)
        answer["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return answer
    return views.exception_handler(error, context)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, "Bad request") or defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, "Forbidden") or defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404, "Not found.") or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(request, 500, "Internal server error") or defaults.server_error(request)


def _answer(request: HttpRequest, status: int, detail: str) -> JsonResponse | None:
    """An error for a system; None for a person in the admin, who gets a page."""
    if request.path.startswith(ADMIN):
        return None
    return JsonResponse({"detail": detail}, status=status)
