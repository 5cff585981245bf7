from django.urls import path

from collections_platform.ops.health import readyz

urlpatterns = [path("readyz", readyz, name="readyz")]
