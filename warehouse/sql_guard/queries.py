"""Whether a text only reads: one SELECT, for a step that compares what queries give."""

from typing import Any

from sqlglot import exp

from sql_guard.refusal import Refusal
from sql_guard.rules import UNREADABLE, is_own_part
from sql_guard.text import NotAllowed, statements_of


def checked_query(text: str) -> dict[str, Any]:
    """Raises Refusal for a text that is anything but one SELECT."""
    try:
        statements = statements_of(text)
    except NotAllowed as refusal:
        raise Refusal(f"line {refusal.line}: {refusal.name} is not allowed here: write one SELECT.") from refusal
    if len(statements) > 1:
        raise Refusal(f"line {statements[1].line}: a second statement begins here: write one SELECT.")
    tree = statements[0].tree
    if not isinstance(tree, exp.Query) or isinstance(tree, exp.Table):
        word = statements[0].tokens[0].text.upper()
        raise Refusal(f"line {statements[0].line}: {word} is not allowed here: write one SELECT.")
    for node in tree.walk():
        if isinstance(node, UNREADABLE) and not is_own_part(node, tree):
            raise Refusal(f"line {statements[0].line}: a SELECT that changes something is not allowed here: let it read only.")
    return {"query": True}
