"""`/schema` and `/docs`, for everybody."""

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

# Swagger UI draws its icons from data; all else is a file of ours.
POLICY = (
    "default-src 'self'; img-src 'self' data:;"
    " object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class SchemaView(APIView):
    """`GET /schema`: the API in OpenAPI 3.1, as JSON, or as YAML with `?format=yaml`."""

    schema = None
    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (
        OpenApiJsonRenderer2,  # application/json
        OpenApiJsonRenderer,
        OpenApiYamlRenderer2,  # application/yaml
        OpenApiYamlRenderer,
    )

    def get(self, request: Request) -> Response:
        return Response(description())


@cache
def description() -> dict[str, Any]:
    """The same for everybody, for as long as the process runs."""
    document: dict[str, Any] = SchemaGenerator().get_schema(public=True)
    return document


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """`GET /docs`: Swagger UI, all of it from this server."""
    response = render(request, "api/docs.html")
    response["Content-Security-Policy"] = POLICY
    return response
