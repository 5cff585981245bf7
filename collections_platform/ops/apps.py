from django.apps import AppConfig


class OpsConfig(AppConfig):
    name = "collections_platform.ops"
    verbose_name = "Operations"
