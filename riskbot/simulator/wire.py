"""What goes over the wire: a good reply, or what a fault makes of it."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import cast

from aiohttp import web

from riskbot.simulator.errors import Refusal
from riskbot.simulator.exchange import Reply
from riskbot.simulator.faults import Fault

_CHUNK = b"0" * 65536
_PAGE = """<html>\r
<head><title>{status}</title></head>\r
<body><center><h1>{status}</h1></center><hr><center>nginx</center></body>\r
</html>\r
"""


def plain(reply: Reply) -> web.Response:
    """The reply as it is."""
    return web.Response(status=reply.status, body=reply.body, content_type="application/json")


async def reset(request: web.Request, _: Fault) -> web.StreamResponse:
    """End the connection with RST: a socket that does not linger is not closed in peace."""
    transport = _transport(request)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    return web.Response()


async def truncated(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Promise the whole body, send half of it and hang up."""
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": "application/json"})
    response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    _transport(request).close()
    return response


def _transport(request: web.Request) -> asyncio.Transport:
    """The connection; None only once the client is gone, and then its handler is cancelled."""
    return cast("asyncio.Transport", request.transport)


async def error_code(_: web.Request, fault: Fault) -> web.StreamResponse:
    """An error code of OKX."""
    return plain(Reply.refused(_refusal(fault)))


def _refusal(fault: Fault) -> Refusal:
    code, _, status = fault.value.partition("/")
    return Refusal(code, status=int(status or 0))


async def html(_: web.Request, fault: Fault) -> web.StreamResponse:
    """A page of the load balancer."""
    return web.Response(status=int(fault.value), text=_PAGE.format(status=fault.value), content_type="text/html")


async def redirect(_: web.Request, fault: Fault) -> web.StreamResponse:
    """Somewhere else."""
    return web.Response(status=302, headers={"Location": fault.value})


async def empty(_: web.Request, __: Fault) -> web.StreamResponse:
    """200 and nothing."""
    return web.Response(content_type="application/json")


async def huge(request: web.Request, fault: Fault) -> web.StreamResponse:
    """JSON that goes on and on, made while it is sent."""
    return await _stream(request, _endless(fault.size), {})


async def gzip_bomb(request: web.Request, fault: Fault) -> web.StreamResponse:
    """The same, small on the wire."""
    return await _stream(request, _gzipped(_endless(fault.size)), {"Content-Encoding": "gzip"})


async def _stream(request: web.Request, chunks: Iterator[bytes], headers: dict[str, str]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", **headers})
    await response.prepare(request)
    with suppress(ConnectionResetError):  # the client has had enough
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0)  # others are served meanwhile
        await response.write_eof()
    return response


def _endless(size: int) -> Iterator[bytes]:
    yield b'{"code":"0","msg":"","data":[{"totalEq":"'
    for _ in range(size // len(_CHUNK) + 1):
        yield _CHUNK
    yield b'"}]}'


def _gzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    gzip = zlib.compressobj(wbits=31)
    for chunk in chunks:
        if packed := gzip.compress(chunk):
            yield packed
    yield gzip.flush()


WIRE: dict[str, Callable[[web.Request, Fault], Awaitable[web.StreamResponse]]] = {
    "reset": reset,
    "code": error_code,
    "html": html,
    "redirect": redirect,
    "empty-body": empty,
    "huge": huge,
    "gzip-bomb": gzip_bomb,
}
"""The faults that replace the reply, whatever it would have been."""


def told(fault: Fault) -> tuple[int, str]:
    """HTTP status and OKX code of the reply that this fault puts in place of the real one; 0 is none."""
    if fault.kind == "code":
        refusal = _refusal(fault)
        return refusal.status, refusal.code
    fixed = {"reset": 0, "redirect": 302, "html": int(fault.value) if fault.kind == "html" else 0}
    return fixed.get(fault.kind, 200), ""
