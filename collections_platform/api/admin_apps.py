from django.contrib.admin.apps import AdminConfig


class LimitedAdminConfig(AdminConfig):
    default_site = "collections_platform.api.admin_site.LimitedAdminSite"
