"""What one chunk hands on to the next: the last ids that were given, up to which day, and under which settings."""

from datetime import date, timedelta

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .refusal import Refusal


class IdState(BaseModel):
    """The ids given so far. A chunk that is run again with the state it had takes the ids it had."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    last_cart_id: int = Field(ge=0)
    last_order_id: int = Field(ge=0)
    last_return_id: int = Field(ge=0)
    through: date = Field(description="last day that has its ids")
    settings: str = Field(description="fingerprint of the settings of the last chunk")
    settings_since: date = Field(description="first day in a row under these settings: orders before it do not come back")


def read_id_state(text: str, first: date, start_date: date, settings: str) -> IdState:
    """Return the state that a chunk from `first` on begins with; an empty text begins anew.

    Raises Refusal when the text is no state, or belongs before another day.
    """
    if not text.strip():
        if first != start_date:
            raise Refusal(f"A chunk from {first} on needs the id state of the chunk before it; only {start_date}, the start date, begins without.")
        return IdState(last_cart_id=0, last_order_id=0, last_return_id=0, through=first - timedelta(days=1), settings=settings, settings_since=first)
    try:
        state = IdState.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise Refusal(f"--id-state is no id state: {'.'.join(map(str, problem['loc'])) or 'the text'}: {problem['msg']}.") from None
    expected = state.through + timedelta(days=1)
    if first < expected:
        raise Refusal(f"{first} overlaps with what already has its ids, through {state.through}; the next chunk begins on {expected}.")
    if first > expected:
        raise Refusal(f"{first} leaves a gap after {state.through}; the next chunk begins on {expected}.")
    return state if state.settings == settings else state.model_copy(update={"settings": settings, "settings_since": first})
