"""What the token endpoint takes."""

from pydantic import BaseModel, Field


class TokenRequest(BaseModel):
    client_id: str = Field(alias="clientId")
    client_secret: str = Field(alias="clientSecret")
