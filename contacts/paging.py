"""Lists in pages."""

from collections.abc import Callable
from typing import Annotated, Any

from django.db.models import Model, QuerySet
from pydantic import BaseModel, Field, ValidationError

from contacts.validation import InvalidInput, error_details

MAX_SIZE = 100


class Page(BaseModel):
    """Which page of a list, and how long it is."""

    page: Annotated[int, Field(ge=1, le=10**9)] = 1
    size: Annotated[int, Field(ge=1, le=MAX_SIZE)] = 50


def read_query(model: type[Page], query: Any) -> Any:
    """The query parameters as `model`. Raises `InvalidInput`."""
    try:
        return model.model_validate(query.dict())
    except ValidationError as error:
        raise InvalidInput(error_details(error, ("query",))) from None


def list_page(rows: QuerySet, page: Page, tell: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """`{"items", "total", "page", "size", "pages"}`; a page behind the last is empty."""
    total = rows.count()
    start = (page.page - 1) * page.size
    items: list[Model] = list(rows[start : start + page.size]) if start < total else []
    return {
        "items": [tell(item) for item in items],
        "total": total,
        "page": page.page,
        "size": page.size,
        "pages": -(-total // page.size),
    }
