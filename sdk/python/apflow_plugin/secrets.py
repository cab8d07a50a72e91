"""References to secrets. Needs the `secrets` grant."""

from ._border import capability
from ._refused import asked, refused

_host = capability("secrets")


def placeholder(name: str) -> str:
    """The placeholder for a secret, which the host replaces in requests to hosts that own it. The value is never here."""
    return asked(refused, lambda: _host.placeholder(name))
