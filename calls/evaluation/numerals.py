"""Numbers in words, in English and Arabic, written as digits."""

import re

UNITS = {
    word: value
    for value, words in {
        1: "one واحد واحده",
        2: "two اثنين اثنان اثنتين اتنين ثنتين",
        3: "three ثلاث ثلاثه تلات تلاته",
        4: "four اربع اربعه",
        5: "five خمس خمسه",
        6: "six ست سته",
        7: "seven سبع سبعه",
        8: "eight ثمان ثماني ثمانيه تمن تمنيه تمانيه",
        9: "nine تسع تسعه",
        10: "ten عشر عشره",
        11: "eleven احدعشر حداشر حدعش",
        12: "twelve اثناعشر اثنيعشر اتناشر",
        13: "thirteen",
        14: "fourteen",
        15: "fifteen",
        16: "sixteen",
        17: "seventeen",
        18: "eighteen",
        19: "nineteen",
        20: "twenty عشرين عشرون",
        30: "thirty ثلاثين ثلاثون تلاتين",
        40: "forty اربعين اربعون",
        50: "fifty خمسين خمسون",
        60: "sixty ستين ستون",
        70: "seventy سبعين سبعون",
        80: "eighty ثمانين ثمانون تمانين",
        90: "ninety تسعين تسعون",
        200: "ميتين مايتين ميتان مايتان",
        2000: "الفين الفان",
        2_000_000: "مليونين مليونان",
    }.items()
    for word in words.split()
}
HUNDRED = {"hundred", "ميه", "مايه"}
SCALES = {"thousand": 1000, "الف": 1000, "الاف": 1000, "million": 10**6, "مليون": 10**6}
SCALES |= {"ملايين": 10**6, "الفا": 1000}
# Feminine and masculine of 3 to 9 hundred, as one word: خمسميه, خمسمايه.
UNITS |= {
    f"{stem}{hundred}": value * 100
    for stem, value in list(UNITS.items())
    if 3 <= value <= 9 and not stem.isascii()
    for hundred in HUNDRED
    if not hundred.isascii()
}
ORDINALS = {
    word: value
    for value, words in {
        1: "first الاول اول",
        3: "third الثالث الثالثه",
        4: "fourth الرابع الرابعه",
        5: "fifth الخامس الخامسه",
        6: "sixth السادس السادسه",
        7: "seventh السابع السابعه",
        8: "eighth الثامن الثامنه",
        9: "ninth التاسع التاسعه",
        10: "tenth العاشر العاشره",
        11: "eleventh",
        12: "twelfth",
        13: "thirteenth",
        14: "fourteenth",
        15: "fifteenth",
        16: "sixteenth",
        17: "seventeenth",
        18: "eighteenth",
        19: "nineteenth",
        20: "twentieth العشرين العشرون",
        30: "thirtieth الثلاثين الثلاثون",
    }.items()
    for word in words.split()
}
ARABIC_FIRST = {"الحادي": 1, "الثاني": 2} | {
    word: value for word, value in ORDINALS.items() if value < 10 and not word.isascii()
}
# Before anything else: what two words say together.
PAIRS = [
    (re.compile(r"\bthe second\b|\bsecond(?= of\b)"), "the 2nd"),
    (re.compile(r"الساعه الواحده(?!\w)"), "الساعه 1"),
    (re.compile(r"الساعه الثانيه(?!\w)"), "الساعه 2"),
    (re.compile(r"\ba (hundred|thousand|million)\b"), r"one \1"),
    (re.compile(r"\b(twenty|thirty)[ -](first|second|third|\w+th)\b"), r"\1_\2"),
    (re.compile(r"\b(\w+ty)-(\w+)\b"), r"\1 \2"),
    (re.compile(r"(?<!\w)(و?)(?:احد|احدي) عشره?(?!\w)"), r"\g<1>11"),
    (re.compile(r"(?<!\w)(و?)اثن[اي]ت?ي? عشره?(?!\w)"), r"\g<1>12"),
]
ARABIC_ORDINAL = "|".join(ARABIC_FIRST)
TEENTH = re.compile(rf"(?<!\w)({ARABIC_ORDINAL}) عشره?(?!\w)")
TWENTIETH = re.compile(rf"(?<!\w)({ARABIC_ORDINAL}) و(العشرين|العشرون|الثلاثين|الثلاثون)(?!\w)")
ARABIC_TEEN = re.compile(r"(?<!\w)(\w+) عشره?(?!\w)")
TOKEN = re.compile(r"\d+(?:,\d{3})+(?!\d)|\d+(?:\.\d+)?|\w+|[^\w\s]|\s+")


def in_digits(text: str) -> str:
    """A normalised text with its number words as digits, ordinals as `5th`: “خمسة آلاف” is 5000."""
    for pattern, words in PAIRS:
        text = pattern.sub(words, text)
    text = TEENTH.sub(lambda found: f"{ARABIC_FIRST[found[1]] + 10}th", text)
    text = TWENTIETH.sub(lambda found: _sum_of_ordinals(found[1], found[2]), text)
    text = ARABIC_TEEN.sub(_teen, text)
    # An hour is told as an ordinal, and is no day of the month.
    return re.sub(r"(الساعه \d{1,2})th", r"\1", _join(TOKEN.findall(text)))


def _sum_of_ordinals(first: str, tens: str) -> str:
    return f"{ARABIC_FIRST[first] + ORDINALS[tens]}th"


def _teen(found: re.Match[str]) -> str:
    word = found[1]
    joined = word.startswith("و") and word[1:] in UNITS
    value = UNITS.get(word[1:] if joined else word, 0)
    return f"{'و' * joined}{value + 10}" if 3 <= value <= 9 else found[0]


class _Sum:
    """A number as its words come in."""

    def __init__(self) -> None:
        self.total, self.group = 0, 0
        self.is_empty, self.step = True, 10**9

    def takes(self, word: str) -> bool:
        """Add the word, if it can go on with the number that has been said so far."""
        if word in HUNDRED and self.group < 100:
            self.group = max(self.group, 1) * 100
            self.step = 100
        elif word in SCALES:
            self.total += max(self.group, 1) * SCALES[word]
            self.group, self.step = 0, SCALES[word]
        elif (value := _value(word)) and (self.is_empty or self._has_room(value)):
            self.group += value
            self.step = _magnitude(value)
        else:
            return False
        self.is_empty = False
        return True

    def _has_room(self, value: int) -> bool:
        """What is added is smaller than the place of what came before; Arabic says units before
        tens.
        """
        is_units_first = self.group % 100 in range(1, 10) and value in range(20, 100, 10)
        return value < self.step or is_units_first

    @property
    def value(self) -> int:
        return self.total + self.group


def _value(word: str) -> int:
    if word.isdecimal() and len(word) <= 9:
        return int(word)
    return UNITS.get(word, 0)


def _magnitude(value: int) -> int:
    return 10 ** (len(str(value)) - 1) if value % 10 == 0 else 1


def _join(tokens: list[str]) -> str:
    said: list[str] = []
    at = 0
    while at < len(tokens):
        end, text = _number_at(tokens, at)
        said.append(text)
        at = end
    return "".join(said)


def _number_at(tokens: list[str], at: int) -> tuple[int, str]:
    """Where the number or the token at `at` ends, and how it is written."""
    token = tokens[at]
    if ordinal := _ordinal(token):
        return at + 1, f"{ordinal}th"
    joined = token.startswith("و") and _starts_number(token[1:])
    first = token[1:] if joined else token
    if not _starts_number(first):
        return at + 1, token
    sum_, end, ahead = _Sum(), at + 1, at + 1
    sum_.takes(first.replace(",", ""))
    while ahead < len(tokens):
        word, after = _next_word(tokens, ahead)
        if not word or not sum_.takes(word):
            break
        end = ahead = after
    if end == at + 1 and first[0].isdigit():
        return end, token  # a figure alone stays as it was written
    return end, f"{'و' if joined else ''}{sum_.value}"


def _next_word(tokens: list[str], at: int) -> tuple[str, int]:
    """The next word of a number, without the “and” before it, and where it ends."""
    while at < len(tokens) and (tokens[at].isspace() or tokens[at] in {"and", "و"}):
        at += 1
    if at == len(tokens):
        return "", at
    word = tokens[at]
    if word.startswith("و") and _is_number_word(word[1:]):
        word = word[1:]
    elif not _is_number_word(word):
        return "", at
    return word, at + 1


def _is_number_word(word: str) -> bool:
    """A figure may begin a number in words (“5 thousand”), but does not go on with one."""
    return word in UNITS or word in HUNDRED or word in SCALES


def _starts_number(word: str) -> bool:
    return _is_number_word(word) or word.replace(",", "").isdecimal()


def _ordinal(word: str) -> int:
    if word in ORDINALS:
        return ORDINALS[word]
    tens, _, unit = word.partition("_")
    value = ORDINALS.get(unit, 2 if unit == "second" else 0)
    return UNITS[tens] + value if tens in {"twenty", "thirty"} and 0 < value < 10 else 0
