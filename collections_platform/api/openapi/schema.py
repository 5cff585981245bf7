"""The API's description in OpenAPI 3.1: what drf-spectacular finds, told as the table has it."""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from drf_spectacular.drainage import warn
from drf_spectacular.openapi import AutoSchema
from pydantic import BaseModel

from collections_platform.api.openapi.components import (
    SCHEMAS,
    SECURITY,
    components,
    content_of,
    header_references,
    reference,
    refusal_name,
)
from collections_platform.api.openapi.operations import OPERATIONS, Operation
from collections_platform.api.openapi.webhooks import EVENTS, webhook

PREFIX = "/api-service/"
ABOUT = """\
Hand over campaigns of AI phone calls and read what came of them.

- Every address is also served below `/api-service/v1`.
- Bodies are JSON. Null equals absent in every optional field, and unknown fields are ignored.
- `"50"` and `50.0` are taken for 50, and `"true"` for true; a number is never taken for a string.
- Errors are `{"detail": "…"}`; a 422 lists every offending element. A method that an address does
  not know is answered with 405, an address that does not exist with 404.
- Every answer carries `X-Request-ID`.
"""
Endpoint = tuple[str, str, str, Any]


def bare_paths(endpoints: Iterable[Endpoint], **_: Any) -> list[Endpoint]:
    """Every address once, without the prefix under which it is served a second time, and its
    parameters under the names that clients know: `{callId}`.
    """
    return [
        (re.sub(r"_(\w)", lambda found: found[1].upper(), path), regex, method, callback)
        for path, regex, method, callback in endpoints
        if not path.startswith(PREFIX)
    ]


class OperationSchema(AutoSchema):
    """Describes an operation from its entry in the table and from its view."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: Any
    ) -> dict[str, Any] | None:
        operation = OPERATIONS.get((method, path))
        if operation is None:
            warn(f"{method} {path} is missing in operations.py")
            return None
        scope = getattr(self.view, "scopes", {}).get(method)
        told: dict[str, Any] = {
            "operationId": operation.name,
            "tags": [operation.tag],
            "summary": operation.summary,
            "parameters": [
                *(self._path_parameter(name) for name in re.findall(r"{(\w+)}", path)),
                *query_parameters(operation.query),
                *(reference("parameters", name) for name in operation.headers),
            ],
            "security": [{SECURITY: [scope]}] if self.view.authentication_classes else [],
            "responses": _answer(operation) | _refusals(operation, "{" in path, bool(scope)),
        }
        if operation.description:
            told["description"] = operation.description
        if operation.body:
            content = content_of(operation.body, operation.examples.get("request"))
            told["requestBody"] = {"required": True, "content": content}
        return told

    def _path_parameter(self, name: str) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string", "format": "uuid"}
        if name == "action":
            schema = {"enum": list(self.view.actions)}
        return {"name": name, "in": "path", "required": True, "schema": schema}


def query_parameters(model: type[BaseModel] | None) -> list[dict[str, Any]]:
    schema = model.model_json_schema(ref_template=SCHEMAS) if model else {"properties": {}}
    return [
        {"name": name, "in": "query", "schema": _without_null(told)}
        for name, told in schema["properties"].items()
    ]


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """What may be left out cannot be null in a query."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if kinds:
        return dict(kinds[0])
    return {key: value for key, value in schema.items() if key != "title"}


def _answer(operation: Operation) -> dict[str, Any]:
    status = str(operation.status.value)
    headers = header_references(["X-Request-ID", *operation.answer_headers])
    content = content_of(operation.answer, operation.examples.get(status))
    return {
        status: {"description": operation.status.phrase, "headers": headers, "content": content}
    }


def _refusals(operation: Operation, names_a_row: bool, is_protected: bool) -> dict[str, Any]:
    possible = {HTTPStatus.SERVICE_UNAVAILABLE, *operation.refusals}
    if is_protected:
        possible |= {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    if names_a_row:
        possible |= {HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY}
    if operation.query:
        possible |= {HTTPStatus.REQUEST_URI_TOO_LONG, HTTPStatus.UNPROCESSABLE_ENTITY}
    if operation.body:
        possible |= {
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
        }
    return {
        str(status.value): reference("responses", refusal_name(status))
        for status in sorted(possible)
    }


def complete(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Add what the operations refer to, the webhooks, and what holds for all of it."""
    taken = [operation.body for operation in OPERATIONS.values() if operation.body]
    answered = [operation.answer for operation in OPERATIONS.values()]
    told = [event.model for event in EVENTS.values()]
    result["info"]["description"] = ABOUT
    result["components"] = components([*taken, *answered, *told])
    result["webhooks"] = {name: {"post": webhook(name)} for name in EVENTS}
    return result
