"""How the certificate of a service is checked."""

from __future__ import annotations

from functools import cache
from ssl import SSLContext

import httpx


@cache
def tls_context() -> SSLContext:
    """Trusts the authorities that browsers trust, and those that this machine's owner has installed."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context
