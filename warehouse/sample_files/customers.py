"""The people who buy: a fixed pool per seed, so that the same person returns on other days under other identifiers."""

import random
from dataclasses import dataclass

FIRST_NAMES = ("Ada", "Bea", "Cleo", "Dora", "Edith", "Flora", "Greta", "Hazel", "Ines", "June", "Kay", "Lena", "Mona", "Nora", "Olive", "Pearl", "Rosa", "Stella", "Tess", "Vera")
LAST_NAMES = ("Abbot", "Baker", "Carver", "Dale", "Ellis", "Fowler", "Gray", "Hale", "Irwin", "Jarvis", "Keane", "Lowell", "Mercer", "Nash", "Otis", "Parker", "Quincy", "Reed", "Shaw", "Thorne")
DOMAINS = ("example.com", "example.org", "example.net")
AREA_CODES = (203, 212, 215, 301, 312, 404, 415, 508, 603, 617, 646, 703, 718, 781, 802, 860, 914, 978)


@dataclass(frozen=True)
class Customer:
    """One person: clean emails, ten-digit phone numbers, and a loyalty id or None."""

    emails: tuple[str, ...]
    phones: tuple[str, ...]
    loyalty_id: str | None


def make_customers(seed: str, count: int = 6000) -> list[Customer]:
    """Return the pool of `count` customers of this seed. A few share a household's phone number."""
    rng = random.Random(f"{seed}/customers")
    customers: list[Customer] = []
    # Fiction has 100 numbers per area code: few enough that one in a few hundred pairs would meet by accident, so
    # numbers are dealt out, and shared only where a household is meant. Those who come after the last number have none.
    numbers = [f"{area}555{line:04d}" for area in AREA_CODES for line in range(100, 200)]
    rng.shuffle(numbers)
    for number in range(count):
        name = f"{rng.choice(FIRST_NAMES)}.{rng.choice(LAST_NAMES)}{number}".lower()
        emails = tuple(f"{name}{suffix}@{rng.choice(DOMAINS)}" for suffix in ("", ".home")[: 1 + (rng.random() < 0.25)])
        if customers and customers[-1].phones and rng.random() < 0.05:
            phones = customers[-1].phones[:1]
        else:
            phones = tuple(numbers.pop() for _ in range(rng.choice((0, 1, 1, 2))) if numbers)
        loyalty_id = f"TC{100000 + number}" if rng.random() < 0.55 else None
        customers.append(Customer(emails, phones, loyalty_id))
    return customers
