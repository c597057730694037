"""Turns one value of a landing file into its normal form, or None when it can't be read. Pure."""

import re
from datetime import UTC, datetime
from decimal import Decimal

_EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+")
_EXTENSION = re.compile(r"\s*(?:ext\.?|x)\s*\d+$", re.IGNORECASE)
_AMOUNT = re.compile(r"\$?(\d{1,3}(?:,\d{3})+|\d+)(\.\d{1,9})?")
_PLACEHOLDERS = frozenset(("", "n/a", "na", "none", "null", "unknown", "-"))


def email(text: str) -> str | None:
    """Return the address in lower case, or None."""
    address = text.strip().lower()
    return address if _EMAIL.fullmatch(address) else None


def phone(text: str) -> str | None:
    """Return the number in E.164, taking numbers without a country code as North American, or None."""
    number = _EXTENSION.sub("", text.strip())
    digits = re.sub(r"\D", "", number)
    international = number.startswith("+")
    if digits.startswith("00"):
        digits, international = digits[2:], True
    if not international and len(digits) == 10:
        digits = f"1{digits}"
    if digits.startswith("1"):
        # North American: neither area nor exchange begins with 0 or 1, which also drops 000-000-0000.
        return f"+{digits}" if re.fullmatch(r"1[2-9]\d\d[2-9]\d{6}", digits) else None
    return f"+{digits}" if international and re.fullmatch(r"[2-9]\d{7,14}", digits) else None


def loyalty_id(text: str) -> str | None:
    """Return the id in upper case, or None."""
    identifier = text.strip()
    return None if identifier.lower() in _PLACEHOLDERS else identifier.upper()


def amount(text: str) -> Decimal | None:
    """Return the amount, negative when written in parentheses or with a minus sign, or None."""
    value = re.sub(r"\s*[A-Za-z]{3}$", "", text.strip())
    negative = re.fullmatch(r"\((.*)\)|-(.*)", value)
    if negative:
        value = negative[1] or negative[2] or ""
    number = _AMOUNT.fullmatch(value)
    if not number:
        return None
    parsed = Decimal(number[1].replace(",", "") + (number[2] or ""))
    return -parsed if negative else parsed


def moment(text: str) -> datetime | None:
    """Return the moment in UTC, taking one without an offset as UTC already, or None."""
    value = text.strip()
    try:
        parsed = datetime.fromisoformat(value) if value[:4].isdigit() else datetime.strptime(value, "%m/%d/%Y %I:%M:%S %p")
        return parsed.replace(tzinfo=parsed.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
