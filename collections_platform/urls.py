"""Every address of the platform. The API is served bare and below `/api-service/v1`."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

api = [
    path("", include("collections_platform.api.urls")),
    path("", include("contacts.urls")),
    path("", include("calls.urls")),
]

handler400 = "collections_platform.api.errors.bad_request"
handler403 = "collections_platform.api.errors.permission_denied"
handler404 = "collections_platform.api.errors.page_not_found"
handler500 = "collections_platform.api.errors.server_error"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("", include("collections_platform.ops.urls")),
    path("", include(api)),
    path("api-service/v1/", include((api, "prefixed"))),
]
