"""What stops a command: one sentence for people that says what to do."""


class Refusal(Exception):
    """Input, files or a disk that the command cannot work with; its text is shown without a stack."""
