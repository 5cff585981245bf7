from django.urls import path

from calls import hooks, views

urlpatterns = [
    path("ai/phone-calls", views.CallsView.as_view(), name="calls"),
    path("ai/phone-calls/action/call-bulk", views.BulkCallView.as_view(), name="call-bulk"),
    path("ai/phone-calls/action/call", views.CallOneView.as_view(), name="call-one"),
    path("ai/phone-calls/<str:call_id>", views.CallView.as_view(), name="call"),
    path(
        "ai/phone-calls/<str:call_id>/action/cancel",
        views.CallCancelView.as_view(),
        name="call-cancel",
    ),
    path("ai/campaigns/<str:campaign_id>", views.CampaignView.as_view(), name="campaign"),
    path(
        "ai/campaigns/<str:campaign_id>/action/<str:action>",
        views.CampaignActionView.as_view(),
        name="campaign-action",
    ),
    path("hooks/<int:account_id>", hooks.HookView.as_view(), name="hook"),
    path("ai/settings-templates", views.TemplatesView.as_view(), name="settings-templates"),
]
