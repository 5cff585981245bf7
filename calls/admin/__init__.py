"""The admin of calls, and of campaigns as far as it needs calls."""

from calls.admin import calls, campaigns, providers, webhooks

__all__ = ["calls", "campaigns", "providers", "webhooks"]
