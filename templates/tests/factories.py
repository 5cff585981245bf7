from itertools import count
from typing import Any

from templates.models import AISettingsTemplate

names = count(1)


def make_template(*, is_default: bool = False, **content: Any) -> AISettingsTemplate:
    """A template with a first version; by default its prompt needs `amount`."""
    template = AISettingsTemplate.objects.create(
        name=f"Template {next(names)}", is_default=is_default
    )
    template.revise(**{"system_prompt": "The customer owes {{amount}}."} | content)
    return template
