"""Why an audit could not be made. A finding is never an exception: findings are results."""


class CannotAuditError(Exception):
    """Nothing was proven either way; the message says what was wrong and what to do (exit status 2)."""


class MalformedError(ValueError):
    """A document or log does not have the shape the protocol gives it. The caller turns it into a finding."""


class UnservedError(Exception):
    """A node did not give what it must serve. The caller turns it into a finding."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
