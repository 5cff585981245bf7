"""The examples of README.md, which the demo sends and the API's description shows."""

from typing import Any

from collections_platform.ops.demo_data import TEMPLATE_ID

BULK_REQUEST: dict[str, Any] = {
    "aiSettingsTemplateId": str(TEMPLATE_ID),
    "countryCode": "SA",
    "updateExisting": True,
    "batchSize": 50,
    "contacts": [
        {
            "numberToCall": "+966500000001",
            "firstName": "Ahmed",
            "lastName": "Al-Rashid",
            "metadata": {"invoiceNumber": "INV-001", "amount": "5000.00"},
            "promptTags": {"amount": "5,000 SAR", "due_date": "January 15, 2026"},
        },
        {
            "numberToCall": "+966500000002",
            "firstName": "Sara",
            "lastName": "Mohammed",
            "metadata": {"invoiceNumber": "INV-002", "amount": "3200.00"},
            "promptTags": {"amount": "3,200 SAR", "due_date": "January 20, 2026"},
        },
    ],
}
CALL_REQUEST = BULK_REQUEST["contacts"][0] | {"countryCode": "SA"}
BULK_ANSWER: dict[str, Any] = {
    "campaignId": "97c59322-7a8d-4f22-846d-732106971a5e",
    "batchSize": 50,
    "batches": 1,
    "calls": [
        {
            "callId": "66cf6c1b-01e1-41e0-87c9-915257005ef9",
            "contactUuid": "f3884253-4505-41a3-956e-fdb9188657c7",
            "numberToCall": "+966500000001",
        },
        {
            "callId": "091d6b3d-5678-4fb4-a333-f9523c620d8e",
            "contactUuid": "783fe0e4-9675-4197-922b-6f27c70071d3",
            "numberToCall": "+966500000002",
        },
    ],
}
BULK_REFUSAL: dict[str, Any] = {
    "detail": [
        {
            "loc": ["body", "contacts", 1, "promptTags", "amount"],
            "msg": "The template needs a value for this tag",
            "type": "missing",
        }
    ]
}
CAMPAIGN: dict[str, Any] = {
    "campaignId": "97c59322-7a8d-4f22-846d-732106971a5e",
    "status": "completed",
    "counts": {"status": {"completed": 2}, "outcome": {"DISPUTE": 1, "PROMISE_TO_PAY": 1}},
}
