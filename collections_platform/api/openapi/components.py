"""The parts that operations share: schemas, parameters, headers, refusals, security."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from django.conf import settings
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from collections_platform.api.models import Scope
from collections_platform.api.openapi.answers import InvalidInput, Refusal
from collections_platform.api.openapi.examples import BULK_REFUSAL
from collections_platform.api.tokens import LIFETIME_SECONDS

SCHEMAS = "#/components/schemas/{model}"
SECURITY = "bearer"
PARAMETERS = {
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Makes a repeat safe. The same key with the same body and `Prefer`, from"
        " the same client to the same address, is answered with the first 201 again, for 24 hours"
        " at least, and calls nobody anew; with another body it is refused with 422.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    "Prefer": {
        "name": "Prefer",
        "in": "header",
        "description": "`handling=lenient`: accept the sound contacts of a request although"
        " others are faulty (RFC 7240). Other preferences are ignored.",
        "schema": {"type": "string", "examples": ["handling=lenient"]},
    },
}
HEADERS: dict[str, Any] = {
    "X-Request-ID": {
        "description": "names the request in the server's logs",
        "required": True,
        "schema": {"type": "string"},
    },
    "Preference-Applied": {
        "description": "present if `Prefer: handling=lenient` was honoured",
        "schema": {"const": "handling=lenient"},
    },
    "Retry-After": {
        "description": "seconds to wait",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"required": True, "schema": {"const": "Bearer"}},
}
REFUSALS = {
    HTTPStatus.UNAUTHORIZED: "The token, or the id or secret, is missing, wrong, expired or"
    " revoked.",
    HTTPStatus.FORBIDDEN: "The client lacks the scope that this takes.",
    HTTPStatus.NOT_FOUND: "There is none with this id.",
    HTTPStatus.CONFLICT: "Its status does not allow this.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large: a request for calls may"
    " have up to {limit} bytes.",
    HTTPStatus.REQUEST_URI_TOO_LONG: "The address with its query is longer than the server reads.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is not `application/json`, or is compressed.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Something in the request is wrong; nothing was done.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many attempts; try again after `Retry-After` seconds.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database is busy or unreachable; nothing was done. Try"
    " again after `Retry-After` seconds.",
}
ANSWER_HEADERS = {
    HTTPStatus.UNAUTHORIZED: ["WWW-Authenticate"],
    HTTPStatus.TOO_MANY_REQUESTS: ["Retry-After"],
    HTTPStatus.SERVICE_UNAVAILABLE: ["Retry-After"],
}


class ModelSchema(GenerateJsonSchema):
    """pydantic's JSON Schema without a title per field, which only repeats its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def reference(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def schema_of(model: type[BaseModel]) -> dict[str, str]:
    return reference("schemas", model.__name__)


def content_of(model: type[BaseModel], example: Any = None) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": schema_of(model)}
    if example is not None:
        media["example"] = example
    return {"application/json": media}


def header_references(names: Iterable[str]) -> dict[str, Any]:
    return {name: reference("headers", name) for name in names}


def refusal_name(status: HTTPStatus) -> str:
    return status.phrase.replace(" ", "")


def components(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """Everything that is referred to; `models` are those of the operations and webhooks."""
    return {
        "schemas": _schemas([*models, Refusal, InvalidInput]),
        "parameters": PARAMETERS,
        "headers": HEADERS,
        "responses": {refusal_name(status): _refusal(status) for status in REFUSALS},
        "securitySchemes": {SECURITY: _bearer()},
    }


def _schemas(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    # What comes in is described, and answers are made without their models, so that "validation"
    # is the mode of both: as serialized, a default would be a promise.
    _, document = models_json_schema(
        [(model, "validation") for model in dict.fromkeys(models)],
        ref_template=SCHEMAS,
        schema_generator=ModelSchema,
    )
    schemas: dict[str, Any] = document["$defs"]
    return schemas


def _refusal(status: HTTPStatus) -> dict[str, Any]:
    if status is HTTPStatus.UNPROCESSABLE_ENTITY:
        content = content_of(InvalidInput, BULK_REFUSAL)
    else:
        content = content_of(Refusal)
    return {
        "description": REFUSALS[status].format(limit=settings.BULK_MAX_BODY_BYTES),
        "headers": header_references(["X-Request-ID", *ANSWER_HEADERS.get(status, ())]),
        "content": content,
    }


def _bearer() -> dict[str, Any]:
    scopes = "\n".join(f"- `{scope}`: {scope.label}" for scope in Scope)
    return {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": f"A token of `POST /auth/v1/api-key/auth`, valid for {LIFETIME_SECONDS}"
        " seconds. It ends early when its client or secret is revoked. The scopes, all of which"
        f" a client has unless staff took some away:\n\n{scopes}",
    }
