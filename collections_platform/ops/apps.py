from django.apps import AppConfig


class OpsConfig(AppConfig):
    name = "collections_platform.ops"
    verbose_name = "Operations"

    def ready(self) -> None:
        from collections_platform.ops.progress import tell_progress  # noqa: PLC0415  needs models

        tell_progress()
