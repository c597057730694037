"""The people who buy: a fixed pool per seed, so that the same person returns on other days under other identifiers."""

import random
from dataclasses import dataclass

FIRST_NAMES = ("Ada", "Bea", "Cleo", "Dora", "Edith", "Flora", "Greta", "Hazel", "Ines", "June", "Kay", "Lena", "Mona", "Nora", "Olive", "Pearl", "Rosa", "Stella", "Tess", "Vera")
LAST_NAMES = ("Abbot", "Baker", "Carver", "Dale", "Ellis", "Fowler", "Gray", "Hale", "Irwin", "Jarvis", "Keane", "Lowell", "Mercer", "Nash", "Otis", "Parker", "Quincy", "Reed", "Shaw", "Thorne")
DOMAINS = ("example.com", "example.org", "example.net")
AREA_CODES = (
    201, 202, 203, 205, 207, 212, 213, 215, 216, 217, 301, 302, 303, 305, 310, 312, 314, 315, 401, 402, 404, 405,
    408, 410, 412, 413, 415, 501, 502, 503, 504, 508, 510, 512, 513, 601, 602, 603, 605, 606, 607, 608, 614, 617,
    619, 646, 701, 702, 703, 704, 706, 713, 714, 716, 718, 781, 801, 802, 803, 804, 805, 860, 901, 903, 904, 914,
    978,
)


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
    # Each number is dealt once, so that people share one only where a household is meant.
    numbers = [f"{area}555{line:04d}" for area in AREA_CODES for line in range(100, 200)]
    rng.shuffle(numbers)
    for number in range(count):
        name = f"{rng.choice(FIRST_NAMES)}.{rng.choice(LAST_NAMES)}{number}".lower()
        emails = tuple(f"{name}{suffix}@{rng.choice(DOMAINS)}" for suffix in ("", ".home")[: 1 + (rng.random() < 0.25)])
        if customers and customers[-1].phones and rng.random() < 0.05:
            phones = customers[-1].phones[:1]
        else:
            phones = tuple(numbers.pop() for _ in range(rng.choice((0, 1, 1, 2))))
        loyalty_id = f"TC{100000 + number}" if rng.random() < 0.55 else None
        customers.append(Customer(emails, phones, loyalty_id))
    return customers
