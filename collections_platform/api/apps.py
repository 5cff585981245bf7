from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "collections_platform.api"
    verbose_name = "API access"
