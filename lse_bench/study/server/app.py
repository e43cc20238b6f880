"""The web application: routes, limits and headers around `Service`."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lse_bench.errors import LseBenchError
from lse_bench.study.answers import Rater
from lse_bench.study.render import ASSETS, asset
from lse_bench.study.server.service import Reply, Service

_log = logging.getLogger(__name__)
MOST_BYTES = 1 << 20  # of a form: 30 free answers of 2,000 characters, each of up to 9 bytes in a form
_MOST_FIELDS = 60
_FORM = "application/x-www-form-urlencoded"
_CLIP_SECONDS = 3600  # for which a browser may keep a clip
HEADERS = {
    # Nothing but the server's own files: no script in a page, no other site, no frame around a page.
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; media-src 'self'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",  # the address is the key
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "x-robots-tag": "noindex",
}


def make_app(service: Service, per_minute: int = 120) -> ASGIApp:
    """Return the application.

    `per_minute`: how many new raters, and how many unknown links, one address may have in a minute. A rater may send 10
    times as many answers and clips.
    """
    limiter = MovingWindowRateLimiter(MemoryStorage())
    few, many = RateLimitItemPerMinute(per_minute), RateLimitItemPerMinute(10 * per_minute)

    def refuse(status: int, text: str, base: str = "../../") -> Response:
        return _response(service.refusal(status, text, base))

    async def rated(request: Request, do: Callable[[Rater], Awaitable[Response]]) -> Response:
        """Answer a request under a personal link."""
        token = request.path_params["token"]
        rater = await run_in_threadpool(service.rater, token)
        if rater is None:
            free = limiter.hit(few, "unknown", _address(request))
            return refuse(404, "wrong_link") if free else refuse(429, "too_many")
        if not limiter.hit(many, "rater", str(rater.number)):
            return refuse(429, "too_many")
        return await do(rater)

    async def posted(request: Request, do: Callable[[Mapping[str, str]], Reply], base: str) -> Response:
        """Answer a form."""
        if request.headers.get("sec-fetch-site") == "cross-site":
            return refuse(403, "wrong_form", base)
        try:
            form = await _form(request)
        except _BodyError as error:
            return refuse(error.status, "wrong_form", base)
        return _response(await run_in_threadpool(do, form))

    async def welcome(request: Request) -> Response:
        return _response(service.welcome(request.query_params))

    async def start(request: Request) -> Response:
        if not limiter.hit(few, "start", _address(request)):
            return refuse(429, "too_many", "")
        return await posted(request, service.start, "")

    async def show(request: Request) -> Response:
        async def do(rater: Rater) -> Response:
            return _response(await run_in_threadpool(service.show, rater))

        return await rated(request, do)

    async def answer(request: Request) -> Response:
        async def do(rater: Rater) -> Response:
            return await posted(request, lambda form: service.answer(rater, form), "../../")

        return await rated(request, do)

    async def withdraw(request: Request) -> Response:
        async def do(rater: Rater) -> Response:
            if request.method == "POST":
                return await posted(request, lambda form: service.withdraw(rater, form), "../../")
            return _response(service.ask_withdrawal(rater))

        return await rated(request, do)

    async def clip(request: Request) -> Response:
        async def do(rater: Rater) -> Response:
            path = service.clip(rater, request.path_params["name"])
            if path is None:
                return refuse(404, "wrong_link", "../../../")
            keep = {"cache-control": f"private, max-age={_CLIP_SECONDS}, immutable"}
            return FileResponse(path, media_type="video/mp4", headers=keep)

        return await rated(request, do)

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in ASSETS:
            return refuse(404, "wrong_link", "../")
        return Response(asset(name), media_type=ASSETS[name], headers={"cache-control": "no-cache"})

    async def admin(request: Request) -> Response:
        if not service.admits(request.path_params["secret"]):
            free = limiter.hit(few, "unknown", _address(request))
            return refuse(404, "wrong_link", "../") if free else refuse(429, "too_many", "../")
        return _response(await run_in_threadpool(service.progress))

    async def unknown(request: Request, error: Exception) -> Response:
        status = getattr(error, "status_code", 500)
        return refuse(status, "wrong_link" if status in (404, 405) else "wrong_server", "/")

    routes = [
        Route("/", welcome),
        Route("/start", start, methods=["POST"]),
        Route("/r/{token}/", show),
        Route("/r/{token}/answer", answer, methods=["POST"]),
        Route("/r/{token}/withdraw", withdraw, methods=["GET", "POST"]),
        Route("/r/{token}/clip/{name}.mp4", clip),
        Route("/static/{name}", static),
        Route("/admin/{secret}", admin),
    ]

    async def failed(request: Request, error: Exception) -> Response:
        _log.error("%s", error)  # a full disk, or a damaged file
        return refuse(500, "wrong_server", "/")

    handlers = {404: unknown, 405: unknown, 500: unknown, LseBenchError: failed}
    return _Headers(Starlette(routes=routes, exception_handlers=handlers))


class _Headers:
    """Adds the headers of safety to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class _BodyError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form, none if there is no body. Raises _BodyError if it is too large or no form."""
    kind = request.headers.get("content-type", _FORM).split(";")[0].strip()
    if kind != _FORM:
        raise _BodyError(415)
    body = b""
    try:
        async for part in request.stream():
            body += part
            if len(body) > MOST_BYTES:
                raise _BodyError(413)
    except ClientDisconnect:
        raise _BodyError(400) from None
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:  # not ASCII, not UTF-8 inside, or too many fields
        raise _BodyError(400) from None
    form = dict(pairs)
    if len(form) != len(pairs):
        raise _BodyError(400)
    return form


def _response(reply: Reply) -> Response:
    if reply.to is not None:
        return RedirectResponse(reply.to, reply.status)
    return Response(reply.text, reply.status, media_type="text/html")


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else "unknown"
