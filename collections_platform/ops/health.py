"""Is the platform there?"""

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse


def readyz(request: HttpRequest) -> JsonResponse:
    """200 once the application is loaded and its database answers, else 503."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return JsonResponse({"status": "database unreachable"}, status=503)
    return JsonResponse({"status": "ok"})
