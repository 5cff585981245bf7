"""Prompts with `{{tags}}`: one strict pattern and a flat dict, nothing is ever evaluated.

A value is inserted once and literally: braces inside a value mean nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

TAG = re.compile(r"\{\{[ \t]*([\w.-]+)[ \t]*\}\}")
# What is left of braces once the tags are gone: a doubled brace, a template language's block, or
# a word in single braces (a tag with a pair forgotten). Braces around anything else, such as
# JSON in an example, are text.
MISUSE = re.compile(r"\{\{|\}\}|\{%|%\}|\{#|#\}|\{[ \t]*[\w.-]+[ \t]*\}")


class BraceError(ValueError):
    """Braces that are no tag; `line` and `column` count from 1."""

    def __init__(self, line: int, column: int) -> None:
        self.line, self.column = line, column
        super().__init__(
            f"Line {line}, column {column}: these braces are not a tag. Write a tag as {{{{name}}}}"
            " (letters, digits, dot, hyphen and underscore), and use no other doubled braces."
        )


class MissingTag(KeyError):
    """A placeholder has no value; the argument is the tag's name."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A parsed text: literals and tags in turn, beginning and ending with a literal."""

    parts: tuple[str, ...]

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags' names in order of first use."""
        return tuple(dict.fromkeys(self.parts[1::2]))

    def render(self, values: Mapping[str, str]) -> str:
        """The text with each tag replaced by its value. Raises `MissingTag`."""
        parts = list(self.parts)
        for position in range(1, len(parts), 2):
            try:
                parts[position] = values[parts[position]]
            except KeyError as missing:
                raise MissingTag(parts[position]) from missing
        return "".join(parts)


@lru_cache(maxsize=256)
def parse(text: str) -> Prompt:
    """Parse a prompt. Raises `BraceError` at the first misuse of braces."""
    without_tags = TAG.sub(lambda tag: "x" * len(tag[0]), text)
    if misuse := MISUSE.search(without_tags):
        before = text[: misuse.start()]
        raise BraceError(before.count("\n") + 1, misuse.start() - before.rfind("\n"))
    return Prompt(tuple(TAG.split(text)))
