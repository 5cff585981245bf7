"""Every address of the platform. The API is served bare and below `/api-service/v1`."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

api = [
    path("", include("collections_platform.api.urls")),
    path("", include("calls.urls")),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("", include("collections_platform.ops.urls")),
    path("", include(api)),
    path("api-service/v1/", include((api, "prefixed"))),
]
