"""Connects only to addresses that were looked at.

The name is resolved here, every address it leads to is judged, and the connection goes to that very address: a
name that answers differently the second time (DNS rebinding) is not asked a second time. As each redirect is a
request of its own, it passes here too. The certificate is still checked against the name.
"""

from __future__ import annotations

import asyncio
import socket
import ssl

import httpx

from venom_core.errors import ServiceFailed
from venom_spore.builtin.addresses import AddressPolicy


class GuardedTransport(httpx.AsyncBaseTransport):
    """For one fetch: connections are not kept, so that none is shared between two names."""

    def __init__(self, policy: AddressPolicy, context: ssl.SSLContext) -> None:
        self._policy = policy
        limits = httpx.Limits(max_keepalive_connections=0)
        self._inner = httpx.AsyncHTTPTransport(verify=context, trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the first address of its host that answers. Raises `Forbidden`, `ServiceFailed`."""
        if request.url.scheme not in ("http", "https"):  # what a redirect asks for
            raise httpx.UnsupportedProtocol(f"{request.url.scheme} is not fetched")
        addresses = await self._resolve(request.url)
        for address in addresses[:-1]:
            try:
                return await self._inner.handle_async_request(_aimed(request, address))
            except httpx.ConnectError:
                continue  # the next address may answer; what the last one says is told
        return await self._inner.handle_async_request(_aimed(request, addresses[-1]))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._inner.aclose()

    async def _resolve(self, url: httpx.URL) -> list[str]:
        """The addresses of a host, each of them allowed, without repetition."""
        host = url.host
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as fault:  # a name that cannot be resolved
            raise ServiceFailed(f"the name {host!r:.80} cannot be resolved: {fault.strerror}") from None
        except UnicodeError:
            raise ServiceFailed(f"{host!r:.80} is not a name that can be resolved") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            self._policy.check(host, address)
        if not addresses:
            raise ServiceFailed(f"the name {host!r:.80} leads to no address")
        return addresses


def _aimed(request: httpx.Request, address: str) -> httpx.Request:
    """The same request to an address; its headers and the certificate's check keep the name."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.host},
    )
