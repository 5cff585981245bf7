from django.urls import path

from collections_platform.api.views import TokenView

urlpatterns = [path("auth/v1/api-key/auth", TokenView.as_view(), name="token")]
