from itertools import count
from typing import Any

from contacts.models import Contact

numbers = count(500_000_100)


def make_contact(**what_matters: Any) -> Contact:
    return Contact.objects.create(
        **{"phone_number": f"+966{next(numbers)}", "first_name": "Ahmed"} | what_matters
    )
