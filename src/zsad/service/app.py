"""The routes of a service."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

import zsad
from zsad.errors import ZsadError
from zsad.service import schema
from zsad.service.asked import asked
from zsad.service.forms import Body, Budget, Form, Lease, read_form
from zsad.service.guarding import Guard
from zsad.service.jobs import Job
from zsad.service.metrics import Metrics
from zsad.service.outlines import regions_of_maps
from zsad.service.page import files
from zsad.service.refusal import BROKEN, TOO_LATE, UNAVAILABLE, UNUSABLE, ClientGone, Refusal, described, status_of
from zsad.service.served import served
from zsad.service.settings import ServiceSettings
from zsad.service.worker import Worker
from zsad.threads import helpers

if TYPE_CHECKING:
    from zsad.export import ExportedDetector
    from zsad.predictor import Detector

CLIENT_CLOSED = 499
"""What access logs of nginx call a request whose client has gone; nobody receives it."""


def create_app(
    detectors: "Mapping[str, Detector | ExportedDetector]", settings: ServiceSettings | None = None
) -> FastAPI:
    """The application of a service, for any ASGI server.

    Time limits of connections are those of ``zsad serve``; behind another server they are its own.

    Args:
        detectors: by the names that clients use; the first is the default. The service owns them from now on.
        settings: limits.
    """
    settings = settings or ServiceSettings()
    metrics = Metrics()
    service = Service(detectors, settings, Worker(settings, metrics), metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="zsad",
        description="Zero-shot visual anomaly detection. Errors are JSON: rule, value, remedy.",
        version=zsad.__version__,
        docs_url=None,  # their pages load scripts from another host
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    app.add_exception_handler(ZsadError, _refused)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(ClientGone, _gone)
    app.add_exception_handler(Exception, _broken)
    _add_api(app, service)
    _add_page(app)
    return app


class Service:
    """What the routes share.

    Args:
        detectors: by name.
        settings: limits.
        worker: that answers.
        metrics: what is counted.
    """

    def __init__(
        self,
        detectors: "Mapping[str, Detector | ExportedDetector]",
        settings: ServiceSettings,
        worker: Worker,
        metrics: Metrics,
    ) -> None:
        self.detectors, self.settings, self.worker, self.metrics = served(detectors), settings, worker, metrics
        self.threads = ThreadPoolExecutor(helpers(), "zsad-regions")
        self._budget = Budget(settings.max_pending_bytes)
        # The worker changes detectors while it answers: what is told of them is told from now.
        self.described = [schema.describe(detector) for detector in self.detectors.values()]

    def close(self) -> None:
        """Finish what was accepted."""
        self.worker.stop(self.settings.grace)
        self.threads.shutdown()

    def lease(self) -> Lease:
        """Room for a request."""
        return Lease(self._budget)

    async def form(self, request: Request, lease: Lease) -> Form:
        """The form of a request; one that is refused is read on for a moment."""
        body = Body(request.receive)
        try:
            return await read_form(request.headers, body, self.settings, lease)
        except Refusal as error:
            if "expect" not in request.headers:  # such a client waits for leave to send
                await body.drain()
            if not body.is_over:
                error.headers["Connection"] = "close"
            raise

    async def predict(self, request: Request) -> dict[str, object]:
        """Answer a request for predictions."""
        with self.lease() as lease:
            form = await self.form(request, lease)
            job = Job(asked(form, self.detectors), self.settings.max_pixels)
            del form
            try:
                self.worker.submit(job)
                return await self._awaited(job, request)
            finally:
                job.release()

    async def _awaited(self, job: Job, request: Request) -> dict[str, object]:
        """The answer, unless it takes too long or the client goes; then the worker leaves it out."""
        answer = asyncio.wrap_future(job.done)
        gone = asyncio.create_task(_disconnected(request))
        try:
            waiting: set[asyncio.Future[Any]] = {answer, gone}
            await asyncio.wait(waiting, timeout=self.settings.timeout, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if gone.done():
                raise ClientGone
        finally:
            answer.cancel()
            gone.cancel()
        rule = f"a request is answered within {self.settings.timeout:g} s"
        raise Refusal(TOO_LATE, rule, "one that would take longer", "send fewer images at a time")


def _add_api(app: FastAPI, service: Service) -> None:
    limits = schema.limits(service.settings)

    def answered(content: object, status: int = 200) -> Response:
        return Response(json.dumps(content), status, media_type="application/json")

    @app.post("/v1/predict", openapi_extra=schema.PREDICT, responses=schema.answers(schema.Predictions))
    async def predict(request: Request) -> Response:
        """Score images, and say where they look anomalous."""
        found = await service.predict(request)
        failures: Any = found["failures"]
        if not found["predictions"]:
            first = {key: failures[0][key] for key in ("rule", "value", "remedy")}
            return answered({**first, "failures": failures}, UNUSABLE)
        return await asyncio.to_thread(answered, found)  # with maps, encoding takes a moment

    @app.post("/v1/regions", openapi_extra=schema.REGIONS, responses=schema.answers(schema.Regions))
    async def regions(request: Request) -> Response:
        """Regions of maps that were predicted before, at another threshold."""
        with service.lease() as lease:
            form = await service.form(request, lease)
            work = asyncio.get_running_loop().run_in_executor(
                service.threads, regions_of_maps, form, service.settings.max_pixels
            )
            return answered(await work)

    @app.get("/v1/detectors", responses=schema.answers(schema.Detectors))
    async def detectors() -> Response:
        """The detectors that are served, and the limits of the service."""
        return answered({"detectors": service.described, "limits": limits, "version": zsad.__version__})

    @app.get("/healthz")
    async def healthz() -> Response:
        """Whether the process answers."""
        return answered({"status": "ok"})

    @app.get("/readyz")
    async def readyz() -> Response:
        """Whether it takes images now; 503 while its queue is full or it stops."""
        is_ready = service.worker.is_ready
        return answered({"status": "ready" if is_ready else "busy"}, 200 if is_ready else UNAVAILABLE)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Counters in the text format of Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


def _add_page(app: FastAPI) -> None:
    for path, file in files().items():
        app.add_route(path, file.respond, include_in_schema=False)


async def _disconnected(request: Request) -> None:
    """Returns when the client has gone; the body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(status: int, content: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    return Response(json.dumps(content), status, dict(headers or {}), media_type="application/json")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ZsadError)
    headers = error.headers if isinstance(error, Refusal) else None
    return _json(status_of(error), described(error), headers)


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    value = f"{request.method} {request.url.path[:80]}"
    content = {"rule": "a route and its method exist", "value": value, "remedy": "GET /openapi.json lists them"}
    return _json(error.status_code, content, error.headers)


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED)


async def _broken(_: Request, error: Exception) -> Response:
    content = {"rule": "the service does not fail", "value": type(error).__name__, "remedy": "see its log"}
    return _json(BROKEN, content)
