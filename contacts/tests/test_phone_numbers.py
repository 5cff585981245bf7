import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contacts.phone_numbers import REGIONS, UnusableNumber, to_e164


@pytest.mark.parametrize(
    ("text", "region", "e164"),
    [
        ("+966500000001", None, "+966500000001"),
        ("+966 50-000 0001", None, "+966500000001"),
        ("0500000001", "SA", "+966500000001"),
        ("٠٥٠٠٠٠٠٠٠١", "SA", "+966500000001"),
        ("+٩٦٦٥٠٠٠٠٠٠٠١", None, "+966500000001"),
        ("00966500000023", "SA", "+966500000023"),
        ("00966500000023", "US", "+966500000023"),
        ("00966500000023", None, "+966500000023"),
        ("٠٠٩٦٦٥٠٠٠٠٠٠٢٣", None, "+966500000023"),
        ("(00) 966 50 000 0023", None, "+966500000023"),
        ("(415) 555-2671", "US", "+14155552671"),
        ("01144 20 7946 0018", "US", "+442079460018"),
    ],
)
def test_written_numbers_become_e164(text: str, region: str | None, e164: str) -> None:
    assert to_e164(text, region) == e164


@pytest.mark.parametrize(
    ("text", "region", "reason"),
    [
        ("12345", None, "no country code"),
        ("0500000001", None, "no country code"),
        ("12345", "SA", "too short"),
        ("abc", "SA", "not a telephone number"),
        ("", "SA", "not a telephone number"),
        ("5552671", "US", "area code"),
        ("+96650000000123", None, "too long"),
        ("+999123456789", None, "can be dialled"),
        ("+966500000001 ext. 5", None, "extension"),
        ("00966500000023 ext. 5", None, "extension"),
        ("5" * 200, "SA", "longer than 64"),
    ],
)
def test_an_unusable_number_says_why(text: str, region: str | None, reason: str) -> None:
    with pytest.raises(UnusableNumber, match=reason) as refusal:
        to_e164(text, region)
    assert not text or text not in str(refusal.value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(REGIONS)), st.data())
def test_numbers_of_every_region_are_read_as_the_library_reads_them(
    region: str, data: st.DataObject
) -> None:
    example = phonenumbers.example_number(region)
    assert example
    style = data.draw(st.sampled_from([0, 1, 2]))  # E164, INTERNATIONAL, NATIONAL
    written = phonenumbers.format_number(example, style)
    assert to_e164(written, region) == phonenumbers.format_number(example, 0)
