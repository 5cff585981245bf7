"""Who is asking, and may they: bearer tokens and scopes."""

from typing import TYPE_CHECKING

import jwt
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from collections_platform.api.models import ApiClient, ClientSecret
from collections_platform.api.tokens import read_token

if TYPE_CHECKING:  # rest_framework.views imports this module
    from rest_framework.views import APIView


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer <JWT>`: `request.user` is the client, `request.auth` its secret."""

    def authenticate(self, request: Request) -> tuple[ApiClient, ClientSecret] | None:
        words = get_authorization_header(request).split()
        if not words:
            return None
        if words[0].lower() != b"bearer" or len(words) != 2:
            raise AuthenticationFailed("The Authorization header must read: Bearer <token>.")
        try:
            claims = read_token(words[1].decode("ascii"))
            secret = (
                ClientSecret.objects.live()
                .select_related("client")
                .get(pk=claims["sid"], client_id=claims["sub"])
            )
        except (jwt.InvalidTokenError, UnicodeDecodeError) as error:
            raise AuthenticationFailed("The token is invalid or has expired.") from error
        except ClientSecret.DoesNotExist as error:
            raise AuthenticationFailed("The token's client or secret has been revoked.") from error
        return secret.client, secret

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class HasScope(BasePermission):
    """The client holds the scope that the view names for this method in `scopes`."""

    message = "This client lacks the scope for this."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not isinstance(request.user, ApiClient):
            return False
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method == "OPTIONS" or not hasattr(view, method.lower()):
            return True  # and be told 405
        scopes: dict[str, str] = getattr(view, "scopes", {})
        return scopes.get(method) in request.user.scopes
