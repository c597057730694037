"""Clean values written the way people and forms write them, and what they write when they have none."""

import random

JUNK_EMAILS = ("test@test.com", "test@test.com", "n/a")
JUNK_PHONES = ("0000000000", "0000000000", "000-000-0000", "n/a")


def messy_email(rng: random.Random, email: str) -> str:
    """Return the address, at times in other case or padded."""
    style = rng.random()
    if style < 0.08:
        return email.upper()
    if style < 0.16:
        return email.title()
    if style < 0.24:
        return f" {email}  "
    return email


def messy_phone(rng: random.Random, phone: str) -> str:
    """Return the ten digits in one of the formats that people use."""
    area, exchange, line = phone[:3], phone[3:6], phone[6:]
    return rng.choice(
        (
            phone,
            f"({area}) {exchange}-{line}",
            f"({area}){exchange}{line}",
            f"{area}-{exchange}-{line}",
            f"{area}.{exchange}.{line}",
            f"{area} {exchange} {line}",
            f"+1 {area} {exchange} {line}",
            f"1-{area}-{exchange}-{line}",
            f"+1{phone}",
            f" {area}/{exchange}-{line} ",
        )
    )


def messy_domain(rng: random.Random, domain: str) -> str:
    """Return the domain, at times as somebody copied it from a browser."""
    return rng.choice((domain, domain, domain, domain, f"www.{domain}", f"https://{domain}/", domain.title()))
