"""Two requests at the same instant, each in a thread with a connection of its own."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from contacts import models
from contacts.models import Contact, ContactRow


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("update_existing", [False, True])
def test_overlapping_requests_make_one_contact_per_number_and_never_deadlock(
    monkeypatch: pytest.MonkeyPatch, update_existing: bool
) -> None:
    monkeypatch.setattr(models, "CHUNK", 20)  # many chunks, whose borders differ by request
    numbers = [f"+9665000000{i:02d}" for i in range(100)]
    Contact.objects.bulk_create(Contact(phone_number=number) for number in numbers[::3])

    def request(seed: int) -> dict[str, Contact]:
        chance = random.Random(seed)  # noqa: S311
        rows = [ContactRow(number, f"N{seed}") for number in chance.sample(numbers, 70)]
        try:
            return Contact.objects.upsert(rows, update_existing=update_existing)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(request, range(24)))
    by_number = {contact.phone_number: contact.pk for contact in Contact.objects.all()}
    assert Contact.objects.count() == len(by_number) <= 100
    for stored in answers:
        assert all(by_number[number] == contact.pk for number, contact in stored.items())
