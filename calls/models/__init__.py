from calls.models.call_log import CallLog
from calls.models.caller_number import CallerNumber
from calls.models.idempotency import IdempotencyKey
from calls.models.provider import ProviderAccount, ProviderEvent
from calls.models.recording import Recording, RecordingStatus
from calls.models.task import SingletonTask
from calls.models.webhook import DeliveryStatus, WebhookDelivery, WebhookEndpoint, WebhookSecret

__all__ = [
    "CallLog",
    "CallerNumber",
    "DeliveryStatus",
    "IdempotencyKey",
    "ProviderAccount",
    "ProviderEvent",
    "Recording",
    "RecordingStatus",
    "SingletonTask",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookSecret",
]
