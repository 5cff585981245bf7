"""Text as people write it, made the same: letters, digits, contractions, speakers, sentences."""

import re
import unicodedata
from dataclasses import dataclass

# Marks of Arabic vowels, tatweel, and marks of direction that mean nothing to a reader.
SILENT = re.compile(r"[\u0610-\u061a\u064b-\u065f\u0670\u0640\u200b-\u200f\u202a-\u202e\ufeff]")
LETTERS = str.maketrans(
    {
        **dict.fromkeys("أإآٱ", "ا"),
        "ى": "ي",
        "ئ": "ي",
        "ؤ": "و",
        "ة": "ه",
        "ء": "",
        "ک": "ك",
        "ی": "ي",
        "’": "'",
        "‘": "'",
        "`": "'",
        "٬": ",",
        "٫": ".",
        "،": ",",
        "؛": ";",
        "؟": "?",
        **{digit: str(value) for value, digit in enumerate("٠١٢٣٤٥٦٧٨٩")},
        **{digit: str(value) for value, digit in enumerate("۰۱۲۳۴۵۶۷۸۹")},
    }
)
CONTRACTIONS = [
    (re.compile(pattern), full)
    for pattern, full in (
        (r"\bwon'?t\b", "will not"),
        (r"\b(?:can't|cannot|cant)\b", "can not"),
        (r"\bain't\b", "is not"),
        (r"\b(do|does|did|is|are|was|were|have|has|had|would|should|could)n'?t\b", r"\1 not"),
        (r"\b(i|you|we|they|he|she|it)'ll\b", r"\1 will"),
        (r"\b(i|you|we|they)'ve\b", r"\1 have"),
        (r"\bi'm\b", "i am"),
        (r"\bi'd\b", "i would"),
        (r"\b(you|we|they)'re\b", r"\1 are"),
        (r"\b(it|that|this|there|what|he|she|who)'s\b", r"\1 is"),
        (r"\blet's\b", "let us"),
        (r"\bgonna\b", "going to"),
        (r"\bwanna\b", "want to"),
    )
]
SENTENCE = re.compile(r"[^.!?;\n]*(?:[.](?=\d)[^.!?;\n]*)*[.!?;\n]?")
COMMA = re.compile(r"(?<!\d),|,(?!\d)")
CLAUSE = re.compile(r"\b(?:but|however|though)\b|(?<!\w)[وف]?لكن\w*")

# No sentence is longer: a pattern may look at each of its words from each of its words.
PIECE = re.compile(r"\S.{0,398}(?:\S(?=\s|$)|$)|\S.{0,399}", re.DOTALL)
# Characters of a transcript that are read: the last.
MAX_READ = 100_000

CUSTOMER: tuple[str, ...] = (
    *("customer", "user", "client", "human", "caller", "callee", "debtor", "contact", "person"),
    *("العميل", "العميلة", "الزبون", "المستخدم", "المتصل به"),
)
AGENT: tuple[str, ...] = (
    *("ai agent", "agent", "ai", "assistant", "bot", "system", "operator", "representative"),
    *("الوكيل", "المساعد", "الموظف", "الموظفة", "النظام", "الآلي"),
)
LABEL = re.compile(
    r"(?:^|(?<=[.!?؟\n]))[^\S\n]*[-*•]*[^\S\n]*(?:\[?\(?\d{1,2}:\d{2}(?::\d{2})?\)?\]?[^\S\n]*)?"
    rf"\**({'|'.join(map(re.escape, CUSTOMER + AGENT))})\**"
    r"[^\S\n]*(?:[\[(][\d:.]+[\])])?[^\S\n]*[:：]\**",
    re.IGNORECASE | re.MULTILINE,
)


def normalise(text: str) -> str:
    """The text in one spelling: lower case, Arabic letters without their variants and vowels,
    ASCII digits, English contractions written out. Line ends are kept.
    """
    text = SILENT.sub("", unicodedata.normalize("NFKC", text)).translate(LETTERS).lower()
    for pattern, full in CONTRACTIONS:
        text = pattern.sub(full, text)
    return re.sub(r"[^\S\n]+", " ", text).strip()


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said before the other spoke again, in the transcript's own spelling."""

    is_customer: bool
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    """`is_marked`: the transcript says who speaks. Where it does not, all of it counts as said by
    the customer.
    """

    turns: tuple[Turn, ...]
    is_marked: bool

    @property
    def customers_text(self) -> str:
        return "\n".join(turn.text for turn in self.turns if turn.is_customer)


def read_conversation(transcript: str) -> Conversation:
    transcript = transcript[-MAX_READ:]
    labels = list(LABEL.finditer(transcript))
    if not labels:
        return Conversation((Turn(True, transcript),) if transcript.strip() else (), False)
    ends = [label.start() for label in labels[1:]] + [len(transcript)]
    turns: list[Turn] = []
    for label, end in zip(labels, ends, strict=True):
        text = transcript[label.end() : end].strip()
        is_customer = label[1].lower() in CUSTOMER
        if turns and turns[-1].is_customer is is_customer:
            text = f"{turns.pop().text}\n{text}"
        turns.append(Turn(is_customer, text))
    return Conversation(tuple(turns), True)


def sentences(text: str) -> list[str]:
    """The sentences of a normalised text, cut before “but”; a question keeps its mark."""
    found = []
    for sentence in SENTENCE.findall(text):
        parts = CLAUSE.split(sentence)
        # A mark belongs to the last part only.
        found += [
            " ".join(COMMA.sub(" , ", piece).split())
            for part in parts
            for piece in PIECE.findall(part)
        ]
    return [sentence for sentence in found if sentence.strip(" .!?;,")]
