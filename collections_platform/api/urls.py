from django.urls import path

from collections_platform.api.openapi.views import SchemaView, docs
from collections_platform.api.views import TokenView

urlpatterns = [
    path("auth/v1/api-key/auth", TokenView.as_view(), name="token"),
    path("schema", SchemaView.as_view(), name="schema"),
    path("docs", docs, name="docs"),
]
