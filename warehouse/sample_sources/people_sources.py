"""What the company's own staff leave behind: sales notes typed in by hand, and mail."""

import json
import random
from collections.abc import Iterator
from datetime import date, datetime

from .mess import JUNK_EMAILS, JUNK_PHONES, messy_domain, messy_email, messy_phone
from .moments import moment_of, written
from .tables import Row
from .world import Person, Shop, Thread, World

_NOTES = {
    "call_logged": "Talked about their launch",
    "demo_held": "Showed the dashboard",
    "met_at_fair": "Card from the fair",
    "deal_won": "Signed for a year",
    "deal_lost": "Went with somebody else",
    "seats_added": "More people of theirs use it",
}
_SUBJECTS = ("Question about an invoice", "Your demo", "Import of old reviews", "Plan change", "Next steps", "Theme trouble")
_ROLES = ("champion", "buyer", "user")
_REMEMBERED_THREADS = 60


def manual_events(rng: random.Random, day: date, world: World) -> Iterator[tuple[datetime, Row]]:
    """Yield the day's sales notes, each about a shop and some of its team or about one person alone."""
    for number in range(_how_many(rng, len(world.people) / 25)):
        at = moment_of(rng, day)
        shop = rng.choice(world.shops) if world.shops and rng.random() < 0.7 else None
        persons = rng.sample(shop.team, rng.randint(0, min(3, len(shop.team)))) if shop else [rng.choice(world.people)]
        event_name = rng.choice(tuple(_NOTES))
        value, unit = _value(rng, event_name)
        row = {
            "id": f"me-{day:%Y%m%d}-{number:03d}",
            "occurred_at": written(at),
            "event_name": event_name,
            "event_description": _NOTES[event_name],
            "value": value,
            "value_unit": unit,
            "persons": json.dumps([_typed_person(rng, person) for person in persons]),
            "groups": json.dumps([_typed_group(rng, shop)] if shop else []),
        }
        yield at, row


def gmail_messages(rng: random.Random, day: date, world: World) -> Iterator[tuple[datetime, Row]]:
    """Yield the day's mail between people and staff, some of it in threads of earlier days."""
    for _ in range(_how_many(rng, len(world.people) / 4)):
        at = moment_of(rng, day)
        if rng.random() < 0.04:
            yield at, _notice(rng, at, rng.choice(world.staff))
            continue
        if world.threads and rng.random() < 0.5:
            thread = rng.choice(world.threads)
            subject = f"Re: {thread.subject}"
        else:
            thread = _open_thread(rng, world)
            subject = thread.subject
        sender, receiver = (thread.person, thread.staff) if rng.random() < 0.6 else (thread.staff, thread.person)
        row = {
            "id": f"{rng.getrandbits(64):016x}",
            "thread_id": thread.id,
            "sent_at": written(at),
            "from_email": messy_email(rng, _usual_email(rng, sender)),
            "from_name": sender.name if rng.random() < 0.85 else None,
            "to_recipients": json.dumps([_recipient(rng, person) for person in (receiver, *thread.copied)]),
            "subject": subject,
        }
        yield at, row


def _how_many(rng: random.Random, usual: float) -> int:
    return max(1, round(usual * rng.uniform(0.7, 1.3)))


def _value(rng: random.Random, event_name: str) -> tuple[str | None, str | None]:
    if event_name == "deal_won":
        return f"{rng.randint(20, 900) * 10}.50", rng.choice(("USD", "USD", "EUR"))
    if event_name == "seats_added":
        return str(rng.randint(1, 20)), "seats"
    return None, None


def _typed_person(rng: random.Random, person: Person) -> Row:
    """Several identifiers side by side: what bridges an address and a phone that were known apart so far."""
    emails = rng.sample(person.emails, rng.randint(1, len(person.emails)))
    typed = [("email", messy_email(rng, email)) for email in emails]
    typed += [("phone", messy_phone(rng, phone)) for phone in person.phones if rng.random() < 0.6]
    chance = rng.random()
    if chance < 0.06:
        typed.append(("phone", rng.choice(JUNK_PHONES)))
    elif chance < 0.09:
        typed.append(("email", rng.choice(JUNK_EMAILS)))
    return {
        "identifiers": [{"type": kind, "value": value} for kind, value in typed],
        "traits": {"name": person.name, "title": person.title} if rng.random() < 0.7 else {"name": person.name},
        "role": rng.choice(_ROLES),
    }


def _typed_group(rng: random.Random, shop: Shop) -> Row:
    typed = [("domain", messy_domain(rng, shop.domain)), ("shop_id", shop.shop_id)]
    kept = typed if rng.random() < 0.6 else [rng.choice(typed)]
    return {
        "identifiers": [{"type": kind, "value": value} for kind, value in kept],
        "traits": {"name": shop.name, "industry": shop.industry},
    }


def _open_thread(rng: random.Random, world: World) -> Thread:
    copied = [rng.choice(world.people)] if rng.random() < 0.15 else []
    thread = Thread(f"{rng.getrandbits(64):016x}", rng.choice(_SUBJECTS), rng.choice(world.people), rng.choice(world.staff), copied)
    world.threads = [*world.threads, thread][-_REMEMBERED_THREADS:]
    return thread


def _notice(rng: random.Random, at: datetime, staff: Person) -> Row:
    """Mail that no person wrote."""
    return {
        "id": f"{rng.getrandbits(64):016x}",
        "thread_id": f"{rng.getrandbits(64):016x}",
        "sent_at": written(at),
        "from_email": "no-reply@notices.example.net",
        "from_name": "Notices",
        "to_recipients": json.dumps([_recipient(rng, staff)]),
        "subject": "Your weekly summary",
    }


def _recipient(rng: random.Random, person: Person) -> Row:
    return {"email": messy_email(rng, _usual_email(rng, person)), "name": person.name if rng.random() < 0.7 else ""}


def _usual_email(rng: random.Random, person: Person) -> str:
    return person.emails[0] if rng.random() < 0.7 else rng.choice(person.emails)
