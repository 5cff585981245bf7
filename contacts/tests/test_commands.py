from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from contacts.models import Contact, Suppression
from contacts.tests.factories import make_contact

pytestmark = pytest.mark.django_db


def import_file(folder: Path, text: str, *options: str, command: str = "import_contacts") -> str:
    file = folder / "contacts.csv"
    file.write_text(text, encoding="utf-8")
    out = StringIO()
    call_command(command, str(file), *options, stdout=out)
    return out.getvalue()


def test_contacts_are_imported(tmp_path: Path) -> None:
    text = "numberToCall,firstName,promptTags.x\n0500000001,أحمد,1\n0500000002,Sara,2\n"
    assert import_file(tmp_path, text, "--country-code", "SA") == "2 contacts are stored.\n"
    assert Contact.objects.get(phone_number="+966500000001").first_name == "أحمد"


@pytest.mark.parametrize(("options", "name"), [([], "Old"), (["--update-existing"], "New")])
def test_existing_contacts_are_updated_only_when_asked(
    tmp_path: Path, options: list[str], name: str
) -> None:
    make_contact(phone_number="+966500000001", first_name="Old")
    import_file(tmp_path, "numberToCall,firstName\n+966500000001,New\n", *options)
    assert Contact.objects.get().first_name == name


def test_every_bad_line_is_named_and_nothing_is_imported(tmp_path: Path) -> None:
    text = "numberToCall,email\n+966500000001,a@example.com\n123,\n+966500000002x,nobody\n"
    with pytest.raises(CommandError) as refusal:
        import_file(tmp_path, text)
    lines = str(refusal.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "Nothing was imported",
        "Line 3, numberToCall",
        "Line 4, email",
    ]
    assert "nobody" not in str(refusal.value)
    assert not Contact.objects.exists()


def test_an_unknown_country_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="ISO 3166"):
        import_file(tmp_path, "numberToCall\n", "--country-code", "ZZ")


def test_everybody_in_a_file_is_suppressed_once_whether_known_or_not(tmp_path: Path) -> None:
    known = make_contact(phone_number="+966500000001", first_name="Ahmed")
    text = "numberToCall,firstName\n0500000001,Other\n0500000002,\n"
    for _ in range(2):
        said = import_file(tmp_path, text, "--country-code", "SA", command="import_suppressions")
        assert said == "2 contacts are suppressed.\n"
    suppressed = Suppression.objects.in_force().values_list("contact__phone_number", flat=True)
    assert sorted(suppressed) == ["+966500000001", "+966500000002"]
    known.refresh_from_db()
    assert known.first_name == "Ahmed"


def test_a_bad_line_of_suppressions_is_named_and_nobody_is_suppressed(tmp_path: Path) -> None:
    text = "numberToCall\n+966500000001\n12\n"
    with pytest.raises(CommandError, match="Line 3, numberToCall"):
        import_file(tmp_path, text, command="import_suppressions")
    assert not Suppression.objects.exists()
