from django.urls import path

from calls import views

urlpatterns = [
    path("ai/phone-calls/action/call-bulk", views.BulkCallView.as_view(), name="call-bulk"),
    path("ai/phone-calls/<str:call_id>", views.CallView.as_view(), name="call"),
    path("ai/campaigns/<str:campaign_id>", views.CampaignView.as_view(), name="campaign"),
]
