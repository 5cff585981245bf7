from django.urls import path

from contacts import views

urlpatterns = [
    path("contact", views.ContactsView.as_view(), name="contacts"),
    path("contact/<str:contact_uuid>", views.ContactView.as_view(), name="contact"),
    path(
        "contact/<str:contact_uuid>/suppression",
        views.SuppressionView.as_view(),
        name="suppression",
    ),
]
