"""The REST endpoints of contacts."""

from typing import Any, ClassVar

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from contacts.models import Contact, Suppression
from contacts.paging import Page, list_page, read_query
from contacts.schemas import SuppressionIn
from contacts.services import lift_suppressions, suppress_contact
from contacts.times import iso
from contacts.validation import raw_body, read_body, read_uuid


class ContactsView(APIView):
    """`GET /contact`: all contacts, the newest first."""

    scopes: ClassVar = {"GET": "contacts:read"}

    def get(self, request: Request) -> Response:
        page = read_query(Page, request.query_params)
        contacts = Contact.objects.order_by("-created_at", "pk").prefetch_related("suppressions")
        return Response(list_page(contacts, page, contact_data))


class ContactView(APIView):
    """`GET /contact/{uuid}`: one contact."""

    scopes: ClassVar = {"GET": "contacts:read"}

    def get(self, request: Request, contact_uuid: str) -> Response:
        return Response(contact_data(find_contact(contact_uuid)))


class SuppressionView(APIView):
    """`POST` and `DELETE /contact/{uuid}/suppression`: do not call, and call again."""

    scopes: ClassVar = {"POST": "contacts:write", "DELETE": "contacts:write"}

    def post(self, request: Request, contact_uuid: str) -> Response:
        contact = find_contact(contact_uuid)
        asked = read_body(SuppressionIn, raw_body(request.data))
        suppress_contact(contact, asked.reason, asked.until)
        return Response(contact_data(find_contact(contact_uuid)))

    def delete(self, request: Request, contact_uuid: str) -> Response:
        lift_suppressions(find_contact(contact_uuid))
        return Response(contact_data(find_contact(contact_uuid)))


def find_contact(contact_uuid: str) -> Contact:
    """Raises `InvalidInput` for what is no UUID and `Http404` for nobody's."""
    uuid = read_uuid("contactUuid", contact_uuid)
    contact = Contact.objects.filter(pk=uuid).prefetch_related("suppressions").first()
    if contact is None:
        raise Http404
    return contact


def contact_data(contact: Contact) -> dict[str, Any]:
    """A contact as the API tells of it, with the suppressions in force."""
    return {
        "contactUuid": str(contact.pk),
        "phoneNumber": contact.phone_number,
        "firstName": contact.first_name,
        "lastName": contact.last_name,
        "email": contact.email,
        "timeZone": contact.time_zone,
        "region": contact.region,
        "createdAt": iso(contact.created_at),
        "updatedAt": iso(contact.updated_at),
        "suppressions": [
            suppression_data(suppression)
            for suppression in contact.suppressions.all()
            if suppression.is_in_force
        ],
    }


def suppression_data(suppression: Suppression) -> dict[str, Any]:
    return {
        "reason": suppression.reason_told,
        "until": iso(suppression.ends_at),
        "createdAt": iso(suppression.created_at),
    }
