"""The people and shops that all sources tell of, so that identity resolution can find them again across sources."""

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from sample_files.customers import AREA_CODES, DOMAINS, FIRST_NAMES, LAST_NAMES

HISTORY_DAYS = 10
"""So many days before the first day the company began; the first day's batch brings what happened in them."""

_NEW_SHOP_DAYS = 30
_COLOURS = ("Amber", "Birch", "Cedar", "Copper", "Coral", "Fern", "Harbor", "Indigo", "Juniper", "Maple", "Ochre", "Slate")
_GOODS = ("Baskets", "Blankets", "Candles", "Ceramics", "Garden", "Kitchen", "Lamps", "Leather", "Outfitters", "Paper", "Soaps", "Toys")
_INDUSTRIES = ("apparel", "beauty", "food", "home", "sports", "toys")
_TITLES = ("Founder", "Head of Sales", "Marketing Manager", "Operations", "Developer")
PLANS = ("basic", "basic", "shopify", "advanced", "plus")


@dataclass(frozen=True)
class Person:
    """One person under all of their identifiers: clean e-mails, the first used most, and ten-digit phones."""

    id: str
    name: str
    title: str
    emails: tuple[str, ...]
    phones: tuple[str, ...]


@dataclass
class Shop:
    """A shop as it stands on the day being made. `team` begins with the owner; `owners` are all so far."""

    id: str
    shop_id: str
    name: str
    domain: str
    myshopify_domain: str
    country: str
    industry: str
    plan: str
    created_at: datetime
    team: list[Person] = field(default_factory=list)
    owners: list[Person] = field(default_factory=list)
    owner_email: str = ""
    installed: bool = False
    subscribed: bool = False

    def hand_over(self, person: Person) -> None:
        """Make `person` the owner; who owned it before leaves the team."""
        self.team = [person, *(member for member in self.team[1:] if member is not person)]
        self.owners.append(person)
        self.owner_email = person.emails[0]


@dataclass
class Thread:
    """A conversation by mail between one person, one of the company's staff and whoever is in copy."""

    id: str
    subject: str
    person: Person
    staff: Person
    copied: list[Person]


@dataclass
class World:
    """Everybody, and what changes from day to day: the shops, and the threads that may be answered."""

    seed: str
    people: list[Person]
    shops: list[Shop]
    staff: list[Person]
    threads: list[Thread] = field(default_factory=list)

    def takers(self, shop: Shop) -> list[Person]:
        """Who may take the shop over from its owner: nobody owns more than two."""
        owned = Counter(other.team[0].id for other in self.shops)
        return [person for person in self.people if person is not shop.team[0] and owned[person.id] < 2]


def make_world(seed: str, count: int, first_day: date) -> World:
    """Return `count` people and their shops as they stand before anything has happened."""
    rng = random.Random(f"{seed}/world")
    # Each number is dealt once: a phone has one true person.
    numbers = [f"{area}555{line:04d}" for area in AREA_CODES for line in range(100, 200)]
    rng.shuffle(numbers)
    people: list[Person] = []
    shops: list[Shop] = []
    for number in range(1, count + 1):
        owned = [_make_shop(rng, len(shops) + n, first_day) for n in range(1, 1 + rng.choice((0, 0, 0, 1, 1, 1, 2)))]
        colleagues = rng.choice(shops) if shops and not owned and rng.random() < 0.5 else None
        workplace = owned[0] if owned else colleagues
        first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
        phones = tuple(numbers.pop() for _ in range(rng.choice((0, 1, 1, 2))))
        emails = _make_emails(rng, first.lower(), last.lower(), number, workplace)
        person = Person(f"person-{number:04d}", f"{first} {last}", rng.choice(_TITLES), emails, phones)
        people.append(person)
        for shop in owned:
            shop.hand_over(person)
        if colleagues:
            colleagues.team.append(person)
        shops += owned
    staff = [_make_staff(name) for name in ("Uma Frost", "Wes Ibarra", "Zoe Lund")]
    return World(seed, people, shops, staff)


def _make_staff(name: str) -> Person:
    first = name.split()[0].lower()
    return Person(f"staff-{first}", name, "Sales", (f"{first}@lantern.example.com",), ())


def _make_emails(rng: random.Random, first: str, last: str, number: int, workplace: Shop | None) -> tuple[str, ...]:
    # The person's number keeps addresses apart: two people may have the same name.
    names = (f"{first}.{last}{number}", f"{first}{number}", f"{first[0]}{last}{number}", f"{last}.{first}{number}")
    emails = [f"{name}@{rng.choice(DOMAINS)}" for name in names]
    if workplace:
        emails[1] = f"{first}{number}@{workplace.domain}"
    return tuple(emails[: rng.choice((1, 1, 1, 2, 2, 2, 3, 3, 4))])


def _make_shop(rng: random.Random, number: int, first_day: date) -> Shop:
    colour, goods = rng.choice(_COLOURS), rng.choice(_GOODS)
    slug = f"{colour}-{goods}-{number}".lower()
    # Half are there when the warehouse begins, the others come while it fills.
    offset = rng.randrange(-HISTORY_DAYS, 0) if rng.random() < 0.5 else rng.randrange(_NEW_SHOP_DAYS)
    midnight = datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC) + timedelta(days=offset)
    return Shop(
        id=f"shop-{number:04d}",
        shop_id=str(50_000_000 + 7919 * number),
        name=f"{colour} {goods}",
        domain=f"{slug}.{rng.choice(DOMAINS)}",
        myshopify_domain=f"{slug}.myshopify.example.com",
        country=rng.choice(("US", "US", "US", "CA", "GB")),
        industry=rng.choice(_INDUSTRIES),
        plan=rng.choice(PLANS),
        created_at=midnight + timedelta(seconds=rng.randrange(6 * 3600, 22 * 3600)),
    )
