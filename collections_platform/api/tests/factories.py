import json
from typing import Any

from django.test import Client

from collections_platform.api.models import ApiClient
from collections_platform.api.tokens import issue_token


def make_client(name: str = "billing", **what_matters: Any) -> tuple[ApiClient, str]:
    """An API client and its secret."""
    client = ApiClient.objects.create(name=name, **what_matters)
    return client, client.add_secret()


class Api:
    """A caller of the API with a token, as an HTTP client."""

    def __init__(self, client: ApiClient | None = None) -> None:
        client = client or make_client()[0]
        self.client = client
        self.headers = {"Authorization": f"Bearer {issue_token(client.secrets.get())}"}

    def get(self, path: str) -> Any:
        return Client().get(path, headers=self.headers)

    def request(self, method: str, path: str) -> Any:
        return Client().generic(method, path, headers=self.headers)

    def post(self, path: str, body: object, content_type: str = "application/json") -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body)
        return Client().post(path, data, content_type=content_type, headers=self.headers)
