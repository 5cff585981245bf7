"""The token endpoint."""

from uuid import UUID

from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from collections_platform.api.models import ClientSecret
from collections_platform.api.schemas import TokenRequest
from collections_platform.api.tokens import LIFETIME_SECONDS, issue_token
from contacts.validation import raw_body, read_body


class TokenView(APIView):
    """`POST /auth/v1/api-key/auth`: a client's id and secret for a bearer token."""

    authentication_classes = ()
    permission_classes = ()

    def post(self, request: Request) -> Response:
        asked = read_body(TokenRequest, raw_body(request.data))
        secret = self._find(asked.client_id, asked.client_secret)
        if secret is None:
            raise AuthenticationFailed("The client id or the secret is wrong.")
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

    def _find(self, client_id: str, client_secret: str) -> ClientSecret | None:
        try:
            live = list(ClientSecret.objects.live().filter(client_id=UUID(client_id)))
        except ValueError:
            return None
        return next((secret for secret in live if secret.matches(client_secret)), None)
