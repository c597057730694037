"""From the text of a fix to one parsed tree per statement.

What is judged must be what runs. Two readers of the same text can differ about where a string or a comment ends, so the
text is first cut by BigQuery's own lexical rules, and refused wherever sqlglot cuts it differently.
"""

import re
import unicodedata
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.dialects.bigquery import BigQuery
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, Tokenizer, TokenType

from sql_guard.refusal import Refusal

MAX_LENGTH = 100_000
# Subqueries that nest deeper take the parser exponentially long.
MAX_DEPTH = 40
QUOTES = ('"""', "'''", '"', "'", "`")
OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}

# Scripting and more that would be refused anyhow, and better by its name.
UNREAD = {"ASSERT", "BREAK", "CALL", "CONTINUE", "ELSE", "FOR", "ITERATE", "LEAVE", "RAISE", "RETURN", "UNDROP"}
SECOND_WORDS = set(
    "ALL DATA DATABASE EXTERNAL FUNCTION IMMEDIATE INDEX MATERIALIZED MODEL OR PROCEDURE ROW SCHEMA SNAPSHOT TABLE TEMP"
    " TEMPORARY TRANSACTION USER VIEW".split()
)

DIALECT = BigQuery()

Region = tuple[int, int]
"""Where something stands in a text: its start, and the position after its end."""


@dataclass
class Statement:
    tree: exp.Expression
    tokens: list[Token]
    text: str
    """The whole text; positions of tokens and identifiers point into it."""

    @property
    def line(self) -> int:
        return line_at(self.text, self.tokens[0].start)

    @property
    def start(self) -> int:
        return self.tokens[0].start

    @property
    def end(self) -> int:
        return self.tokens[-1].end + 1


def line_at(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def statements_of(text: str) -> list[Statement]:
    """Parses each statement of a text; raises Refusal for a text that is empty or cannot be read in one way only."""
    if len(text) > MAX_LENGTH:
        raise Refusal(f"The SQL has {len(text)} characters: a fix has at most {MAX_LENGTH}.")
    refuse_odd_characters(text)
    quoted, comments = regions(text)
    tokens = tokens_of(text)
    parts = split(tokens)
    if not parts:
        raise Refusal("The SQL has no statement: write one.")
    refuse_commands(text, parts)
    refuse_two_readings(text, tokens, quoted, comments)
    refuse_depth(text, tokens)
    return [Statement(parse(part, text), part, text) for part in parts]


def refuse_commands(text: str, parts: list[list[Token]]) -> None:
    """Statements that sqlglot takes as they are, without reading them."""
    for first, *rest in parts:
        if is_bare_begin([first, *rest]):
            continue
        if first.token_type in Tokenizer.COMMANDS or first.text.upper() in UNREAD:
            following = rest[0].text.split()[:1] if rest else []
            raise not_allowed(line_at(text, first.start), " ".join([first.text, *following]))


def is_bare_begin(tokens: list[Token]) -> bool:
    """BEGIN by itself is BEGIN TRANSACTION; with more behind it, a block of scripting."""
    return len(tokens) == 1 and tokens[0].text.upper() == "BEGIN"


class NotAllowed(Refusal):
    """A statement of a kind that no fix may have."""

    def __init__(self, line: int, name: str) -> None:
        super().__init__(
            f"line {line}: {name} is not allowed in a fix: use INSERT, UPDATE, DELETE, MERGE, or CREATE TABLE IF NOT EXISTS."
        )
        self.line = line
        self.name = name


def not_allowed(line: int, words: str) -> NotAllowed:
    first, *rest = words.upper().split()
    return NotAllowed(line, " ".join([first, *(word for word in rest[:1] if word in SECOND_WORDS)]))


def refuse_odd_characters(text: str) -> None:
    for position, character in enumerate(text):
        if character in "\n\t" or (character == "\r" and text[position + 1 : position + 2] == "\n"):
            continue
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            raise Refusal(
                f"line {line_at(text, position)}: the character U+{ord(character):04X} cannot be seen:"
                " take it out, so that what is read is what runs."
            )


def tokens_of(text: str) -> list[Token]:
    try:
        return DIALECT.tokenize(text)
    except SqlglotError as error:
        raise Refusal(f"The SQL cannot be read: {first_line(error)}.") from error


def parse(tokens: list[Token], text: str) -> exp.Expression:
    line = line_at(text, tokens[0].start)
    if is_bare_begin(tokens):
        return exp.Transaction()
    try:
        trees = DIALECT.parser().parse(tokens, text)
    except SqlglotError as error:
        raise Refusal(f"line {line}: the statement cannot be read: {first_line(error)}.") from error
    if len(trees) != 1 or trees[0] is None:
        raise Refusal(f"line {line}: the statement cannot be read.")
    tree = trees[0]
    if isinstance(tree, exp.Delete) and not tree.this and len(tree.args.get("tables") or []) == 1:
        # BigQuery takes DELETE without FROM; sqlglot puts its table elsewhere.
        tree.set("this", tree.args["tables"][0])
        tree.set("tables", None)
    return tree


def first_line(error: SqlglotError) -> str:
    """What is wrong and where, without the excerpt that follows and the reader's own class names."""
    text = str(error).split("\n")[0].strip().rstrip(".")[:200]
    return re.sub(r"Required keyword: '\w+' missing for <class '[\w.]+'>", "something is missing", text)


def split(tokens: list[Token]) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def refuse_depth(text: str, tokens: list[Token]) -> None:
    depth = 0
    for token in tokens:
        if token.token_type in OPENING:
            depth += 1
        elif token.token_type in CLOSING:
            depth -= 1
        if depth > MAX_DEPTH:
            raise Refusal(
                f"line {line_at(text, token.start)}: brackets nest deeper than {MAX_DEPTH}: write it in simpler parts."
            )


def refuse_two_readings(text: str, tokens: list[Token], quoted: list[Region], comments: list[Region]) -> None:
    unmatched = dict(quoted)
    for token in tokens:
        start, end = token.start, token.end + 1
        if start in unmatched:
            fits = unmatched.pop(start) == end
        else:
            fits = text[start] not in "\"'`#" and not any(quote in text[start:end] for quote in "\"'`")
        # Escapes in a name: BigQuery resolves them, sqlglot does not.
        fits = fits and not (text[start] == "`" and "\\" in text[start:end])
        if not fits or any(start < stop and begin < end for begin, stop in comments):
            raise two_readings(text, start)
    for start in unmatched:
        raise two_readings(text, start)
    position = 0
    for start, end in sorted([*comments, *((token.start, token.end + 1) for token in tokens)]):
        if text[position:start].strip():
            raise two_readings(text, position)
        position = end
    if text[position:].strip():
        raise two_readings(text, position)


def two_readings(text: str, position: int) -> Refusal:
    return Refusal(
        f"line {line_at(text, position)}: a quote, comment or character here can be read in two ways: write it plainly."
    )


def regions(text: str) -> tuple[list[Region], list[Region]]:
    """Where strings and quoted names are, and where comments are, by BigQuery's rules (which nest no comments)."""
    quoted, comments = [], []
    position = 0
    while position < len(text):
        rest = text[position : position + 3]
        if rest[0] == "#" or rest.startswith("--"):
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            comments.append((position, end))
            position = end
        elif rest.startswith("/*"):
            end = text.find("*/", position + 2)
            if end < 0:
                raise Refusal(f"line {line_at(text, position)}: this comment has no end: add */.")
            comments.append((position, end + 2))
            position = end + 2
        elif quote := next((quote for quote in QUOTES if rest.startswith(quote)), None):
            end = end_of_quote(text, position, quote)
            quoted.append((start_of_prefix(text, position), end))
            position = end
        elif ord(rest[0]) > 127 or rest[0] in "{}":
            raise Refusal(
                f"line {line_at(text, position)}: the character {rest[0]!r} stands outside quotes: take it out."
            )
        else:
            position += 1
    return quoted, comments


def end_of_quote(text: str, start: int, quote: str) -> int:
    position = start + len(quote)
    while position < len(text):
        if text[position] == "\\":
            position += 2
        elif text.startswith(quote, position):
            return position + len(quote)
        elif text[position] == "\n" and len(quote) == 1:
            break
        else:
            position += 1
    raise Refusal(f"line {line_at(text, start)}: this {quote} has no end: close it.")


def start_of_prefix(text: str, quote: int) -> int:
    """Where `r'…'`, `b'…'` begin; a letter that ends a longer word is no prefix."""
    start = quote
    while start > 0 and text[start - 1] in "rRbB" and quote - start < 2:
        start -= 1
    before = text[start - 1] if start > 0 else " "
    return quote if text[quote] == "`" or before.isalnum() or before == "_" else start
