import pytest

from contacts.contact_csv import read_contacts
from contacts.validation import InvalidInput


def test_rows_become_contact_objects() -> None:
    file = read_contacts(
        "numberToCall,firstName,promptTags.amount,metadata.invoiceNumber\n"
        '+966500000001,أحمد,"5,000 SAR",INV-001\n'
        "\n"
        "+966500000002,,3 SAR,\n".encode()
    )
    assert file.contacts == [
        {
            "numberToCall": "+966500000001",
            "firstName": "أحمد",
            "promptTags": {"amount": "5,000 SAR"},
            "metadata": {"invoiceNumber": "INV-001"},
        },
        {"numberToCall": "+966500000002", "promptTags": {"amount": "3 SAR"}},
    ]
    assert file.places == {0: "Line 2", 1: "Line 4"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_recognised(delimiter: str) -> None:
    text = "numberToCall|firstName\n+966500000001|Sara\n".replace("|", delimiter)
    assert read_contacts(text.encode()).contacts[0]["firstName"] == "Sara"


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    assert read_contacts("\ufeffnumberToCall\n+966500000001\n".encode()).contacts


def test_objects_may_stand_in_one_cell() -> None:
    file = read_contacts(
        b'numberToCall,promptTags,promptTags.b\n+966500000001,"{""a"": ""1""}",2\n'
    )
    assert file.contacts[0]["promptTags"] == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must name the columns"),
        (b"name\nSara\n", "must name the columns"),
        (b"numberToCall,numberToCall\n", "names a column twice"),
        (b"numberToCall,surname\n", "unknown columns: surname"),
        (b"numberToCall,firstName.x\n", "unknown columns"),
        ("numberToCall,firstName\n1,أحمد".encode("cp1256"), "not UTF-8"),
        (b"numberToCall\n\0\n", "NUL"),
        (b'numberToCall\n"+9665\n', "Line 2"),
    ],
)
def test_an_unreadable_file_says_why(content: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        read_contacts(content)
    assert message in refusal.value.errors[0]["msg"]


def test_every_cell_that_cannot_be_read_is_named_with_its_line_and_the_rest_is_kept() -> None:
    content = b"numberToCall,metadata\n+966500000001,[1]\n+966500000002,{}\n+966500000003,{},x\n"
    file = read_contacts(content)
    assert [file.places[int(error["loc"][2])] for error in file.errors] == ["Line 2", "Line 4"]
    assert file.contacts[0] == {"numberToCall": "+966500000001"}
    assert len(file.contacts) == 3
