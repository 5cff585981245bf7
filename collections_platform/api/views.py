"""The token endpoint."""

from uuid import UUID

from rest_framework.exceptions import AuthenticationFailed, Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from collections_platform.api.addresses import address_group, client_address
from collections_platform.api.attempts import TOKEN_FAILURES_OF_ADDRESS, TOKEN_FAILURES_OF_CLIENT
from collections_platform.api.models import ClientSecret
from collections_platform.api.schemas import TokenRequest
from collections_platform.api.tokens import LIFETIME_SECONDS, issue_token
from contacts.validation import raw_body, read_body

TOO_MANY = "Too many failed attempts."


class TokenView(APIView):
    """`POST /auth/v1/api-key/auth`: a client's id and secret for a bearer token."""

    authentication_classes = ()
    permission_classes = ()
    max_body_bytes = 16 * 1024  # anybody may send one

    def post(self, request: Request) -> Response:
        address = address_group(client_address(request))
        if wait := TOKEN_FAILURES_OF_ADDRESS.wait(address):
            raise Throttled(wait, TOO_MANY)
        asked = read_body(TokenRequest, raw_body(request.data))
        client_id = read_client_id(asked.client_id)
        live = ClientSecret.objects.live().filter(client_id=client_id)
        secret = next((secret for secret in live if secret.matches(asked.client_secret)), None)
        if secret is None:
            self._count_failure(address, str(client_id))
            raise AuthenticationFailed("The client id or the secret is wrong.")
        TOKEN_FAILURES_OF_CLIENT.forget(str(client_id))
        secret.note_use()
        return Response(
            {
                "access_token": issue_token(secret),
                "token_type": "Bearer",
                "expires_in": LIFETIME_SECONDS,
            }
        )

    def get_authenticate_header(self, request: Request) -> str:
        return "Bearer"

    def _count_failure(self, address: str, client_id: str) -> None:
        """Raises `Throttled` when there were too many."""
        wait = TOKEN_FAILURES_OF_ADDRESS.take(address)
        if wait := max(wait, TOKEN_FAILURES_OF_CLIENT.take(client_id)):
            raise Throttled(wait, TOO_MANY)


def read_client_id(text: str) -> UUID:
    """The one id that all its spellings mean; what is no UUID stands for one that nobody has."""
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)
