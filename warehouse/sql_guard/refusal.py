class Refusal(Exception):
    """Why a fix may not run: one sentence, with the line and what to do."""
