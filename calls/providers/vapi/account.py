"""What an account with Vapi holds: the fields of its form, and the account as it is used."""

import re
from dataclasses import dataclass
from typing import Any, Self, cast

import httpx2
from django.core.exceptions import ValidationError
from django.utils.translation import gettext, gettext_lazy

from calls.providers.base import Access, AccountError, AccountField
from calls.webhooks.addresses import validate_address

BASE_URL = "https://api.vapi.ai"
BEARER, HMAC = "bearer", "hmac"
SIGNED_WITH_TIME, SIGNED_ALONE = "{timestamp}.{body}", "{body}"
MODEL_PROVIDER, MODEL = "openai", "gpt-4.1"
# Those that are content with a voice's id.
VOICE_PROVIDERS = (
    "11labs",
    "azure",
    "cartesia",
    "deepgram",
    "hume",
    "inworld",
    "lmnt",
    "microsoft",
    "minimax",
    "openai",
    "playht",
    "rime-ai",
    "smallest-ai",
    "tavus",
    "vapi",
    "wellsaid",
    "xai",
)
MODEL_PROVIDERS = (
    "anthropic",
    "anthropic-bedrock",
    "cerebras",
    "deep-seek",
    "google",
    "groq",
    "openai",
    "openrouter",
    "together-ai",
    "xai",
)
TRANSCRIBERS = ("azure", "deepgram")


def _(text: str) -> str:
    """Translated when it is shown: the fields are made before any request."""
    return cast(str, gettext_lazy(text))


UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,100}")


def validate_id(value: str) -> None:
    if not UUID.fullmatch(value):
        raise ValidationError(_("Give an id as Vapi's dashboard shows it, such as 550e8400-e29b-…"))


def validate_header(value: str) -> None:
    if not HEADER_NAME.fullmatch(value):
        raise ValidationError(_("A header's name is letters, digits and dashes."))


def validate_base_url(value: str) -> None:
    validate_address(value)
    if "?" in value or "#" in value:
        raise ValidationError(_("Give an address without ? and #."))


FIELDS = (
    AccountField(
        "apiKey",
        _("Private key"),
        _("Of the organisation, from Vapi's dashboard under API keys; not the public key."),
        is_secret=True,
    ),
    AccountField(
        "phoneNumberId",
        _("Phone number's id"),
        _("The id, not the number: of the phone number that calls are placed from."),
        check=validate_id,
    ),
    AccountField(
        "webhookSecret",
        _("Secret of events"),
        _(
            "The token, or the key of the HMAC, that Vapi proves its events by. Without one Vapi"
            " sends no events, and calls are only asked about."
        ),
        is_secret=True,
        is_required=False,
    ),
    AccountField(
        "webhookScheme",
        _("Proof of events"),
        _(
            "bearer: the secret itself, in a header. hmac: a signature of each event, as the"
            " custom credential below says. Empty: bearer."
        ),
        is_required=False,
        choices=(BEARER, HMAC),
    ),
    AccountField(
        "credentialId",
        _("Custom credential's id"),
        _(
            "Of the credential that Vapi is to sign events with; hmac needs one. Empty: the token"
            " is given to Vapi with each call."
        ),
        is_required=False,
        check=validate_id,
    ),
    AccountField(
        "hmacAlgorithm",
        _("HMAC: algorithm"),
        _("As in the custom credential. Empty: sha256."),
        is_required=False,
        choices=("sha256", "sha512", "sha1"),
    ),
    AccountField(
        "hmacEncoding",
        _("HMAC: encoding of the signature"),
        _("Empty: hex."),
        is_required=False,
        choices=("hex", "base64"),
    ),
    AccountField(
        "hmacPayload",
        _("HMAC: payload format"),
        _("What is signed. Empty: {timestamp}.{body}; {body} alone can be sent again by a thief."),
        is_required=False,
        choices=(SIGNED_WITH_TIME, SIGNED_ALONE),
    ),
    AccountField(
        "hmacSecretForm",
        _("HMAC: form of the secret"),
        _("base64: the secret is decoded before it is used. Empty: text."),
        is_required=False,
        choices=("text", "base64"),
    ),
    AccountField(
        "signatureHeader",
        _("HMAC: header of the signature"),
        _("Empty: x-signature."),
        is_required=False,
        check=validate_header,
    ),
    AccountField(
        "signaturePrefix",
        _("HMAC: prefix of the signature"),
        _("What stands before it in its header, such as sha256=. Empty: nothing."),
        is_required=False,
    ),
    AccountField(
        "timestampHeader",
        _("HMAC: header of the timestamp"),
        _("Empty: x-timestamp."),
        is_required=False,
        check=validate_header,
    ),
    AccountField(
        "modelProvider",
        _("Model's provider"),
        _("Empty: openai."),
        is_required=False,
        choices=MODEL_PROVIDERS,
    ),
    AccountField(
        "model",
        _("Model"),
        _("That thinks up what the agent says, in its provider's words. Empty: gpt-4.1."),
        is_required=False,
    ),
    AccountField(
        "voiceProvider",
        _("Voice's provider"),
        _("Of the voice below, and of those that templates name without one. Empty: azure."),
        is_required=False,
        choices=VOICE_PROVIDERS,
    ),
    AccountField(
        "voice",
        _("Voice"),
        _(
            "Where the template names none: its id, such as ar-SA-ZariyahNeural, or with its"
            " provider azure:ar-SA-ZariyahNeural. Empty: Vapi's own choice."
        ),
        is_required=False,
    ),
    AccountField(
        "transcriber",
        _("Transcriber"),
        _("Who writes down what is said. Empty: azure for Arabic, deepgram for the rest."),
        is_required=False,
        choices=TRANSCRIBERS,
    ),
    AccountField(
        "baseUrl",
        _("API's address"),
        _("Empty: https://api.vapi.ai. Organisations in the EU have https://api.eu.vapi.ai."),
        is_required=False,
        check=validate_base_url,
    ),
)


@dataclass(frozen=True, slots=True)
class HmacPlan:
    """How Vapi signs, as the custom credential says; header names in lower case."""

    algorithm: str
    encoding: str
    payload: str
    signature_header: str
    timestamp_header: str
    prefix: str
    secret_is_base64: bool


@dataclass(frozen=True, slots=True)
class Account:
    """An account's settings and secrets, with what stands for those that are empty."""

    api_key: str
    webhook_secret: str
    phone_number_id: str
    credential_id: str
    scheme: str
    hmac: HmacPlan
    model_provider: str
    model: str
    voice_provider: str
    voice: str
    transcriber: str
    base_url: str

    @classmethod
    def of(cls, access: Access) -> Self:
        def told(name: str, otherwise: str = "") -> str:
            return _text(access.settings.get(name)) or otherwise

        return cls(
            api_key=_text(access.credentials.get("apiKey")),
            webhook_secret=_text(access.credentials.get("webhookSecret")),
            phone_number_id=told("phoneNumberId"),
            credential_id=told("credentialId"),
            scheme=told("webhookScheme", BEARER),
            hmac=HmacPlan(
                algorithm=told("hmacAlgorithm", "sha256"),
                encoding=told("hmacEncoding", "hex"),
                payload=told("hmacPayload", SIGNED_WITH_TIME),
                signature_header=told("signatureHeader", "x-signature").lower(),
                timestamp_header=told("timestampHeader", "x-timestamp").lower(),
                prefix=told("signaturePrefix"),
                secret_is_base64=told("hmacSecretForm") == "base64",
            ),
            model_provider=told("modelProvider", MODEL_PROVIDER),
            model=told("model", MODEL),
            voice_provider=told("voiceProvider", "azure"),
            voice=told("voice"),
            transcriber=told("transcriber"),
            base_url=told("baseUrl", BASE_URL).rstrip("/"),
        )

    def check(self) -> None:
        """Raise `AccountError` where Vapi cannot be asked anything."""
        if not (self.api_key and self.api_key.isascii() and self.api_key.isprintable()):
            raise AccountError(gettext("The account has no private key of Vapi."))
        try:
            validate_address(self.base_url)
            httpx2.URL(self.base_url)
        except (ValidationError, httpx2.InvalidURL):
            raise AccountError(gettext("The account's address of Vapi's API is wrong.")) from None

    def check_placing(self) -> None:
        """Raise `AccountError` where no call can be placed."""
        self.check()
        if not self.phone_number_id:
            raise AccountError(gettext("The account has no phone number's id."))
        if self.webhook_secret and self.scheme == HMAC and not self.credential_id:
            raise AccountError(
                gettext("Signed events (hmac) need the id of a custom credential of Vapi.")
            )


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
