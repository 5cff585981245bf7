"""The admin's log-in, where attempts are limited as at the token endpoint."""

from typing import Any, cast

from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables

from collections_platform.api.addresses import address_group, client_address
from collections_platform.api.attempts import LOGINS_OF_ADDRESS, LOGINS_OF_USER


class LoginForm(AdminAuthenticationForm):
    """Counts every attempt before the password is looked at, so that many at once count too.

    A user name that is waiting is refused whatever the password: unlike a client's secret, one
    can be guessed.
    """

    retry_after = 0

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        username = self.cleaned_data.get("username")
        if not username or not self.cleaned_data.get("password"):
            return self.cleaned_data
        address = address_group(client_address(cast(HttpRequest, self.request)))
        self.retry_after = LOGINS_OF_ADDRESS.take(address) or LOGINS_OF_USER.take(username)
        if self.retry_after:
            raise ValidationError(_too_many_attempts(self.retry_after), code="too_many_attempts")
        cleaned_data = super().clean()
        LOGINS_OF_USER.forget(username)
        return cleaned_data


class LimitedAdminSite(AdminSite):
    login_form = LoginForm

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        response = super().login(request, extra_context)
        form = (getattr(response, "context_data", None) or {}).get("form")
        if wait := getattr(form, "retry_after", 0):
            response.status_code = 429
            response["Retry-After"] = str(wait)
        return response


def _too_many_attempts(seconds: int) -> str:
    if seconds <= 120:
        text = ngettext(
            "Too many attempts. Try again in %d second.",
            "Too many attempts. Try again in %d seconds.",
            seconds,
        )
        return text % seconds
    minutes = -(-seconds // 60)
    text = ngettext(
        "Too many attempts. Try again in %d minute.",
        "Too many attempts. Try again in %d minutes.",
        minutes,
    )
    return text % minutes
