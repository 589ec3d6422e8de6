"""The local web page on which people decide: pages, photos and decisions over HTTP."""

from __future__ import annotations

import ipaddress
import logging
import math
import secrets
import socket
import threading
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from flask import Flask, Response, abort, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.serving import WSGIRequestHandler, make_server

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.plain_json import JSONFaultError, parse_json
from whales.base.stopping import would_keep
from whales.files.boxes import Box
from whales.files.decisions import DecisionLog, checked_name, login_name
from whales.files.marks import MarkLog
from whales.files.workspace import Workspace
from whales.nets.net import title_of
from whales.reviewing.desk import Desk, Filter
from whales.reviewing.drawing import AskNets, no_nets
from whales.reviewing.joining import NamePattern
from whales.reviewing.limits import limits_of
from whales.reviewing.review_views import VIEWS, jpeg, outline
from whales.scores.drawn_boxes import BoxLog
from whales.scores.query_results import Results, decided_photos

_LINKED = 0.5  # the probability or score from which new photos are linked, unless asked
PAGE = Path(__file__).resolve().parent / "review_page"
LARGEST = 10_000  # bytes of a request
_POLICY = (
    "default-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


# A photo as `jpeg` and `outline` take it: path, box in pixels, upright, anisotropy.
Photo = tuple[Path, Box | None, bool, float]


def review_app(
    workspace: Workspace,
    results: Results,
    decisions: DecisionLog,
    reviewer: str,
    hosts: Sequence[str] = (),
    pattern: NamePattern = NamePattern(),  # noqa: B008 - frozen
    details: Path | None = None,
    ask_nets: AskNets = no_nets,
) -> Flask:
    """The web application. reviewer: name that the page proposes; hosts: names it may be reached by; pattern,
    details, ask_nets: as a `Desk` takes them.

    Any address, and localhost, will do besides: a foreign page that lets its own name lead here is
    refused, as are posts without the token that this application's page carries.
    """
    # A template or static file of another folder can never be served.
    app = Flask(__name__, static_folder=PAGE, static_url_path="/page", template_folder=PAGE)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST
    token = secrets.token_urlsafe(16)
    desk = Desk(workspace, results, decisions, pattern, details, ask_nets)
    _guard(app, token, {"localhost", *(name.casefold() for name in hosts)})
    app.before_request(desk.boxes.refresh)
    _serve_photos(app, desk)
    _serve_answers(app, desk)
    _serve_boxes(app, desk)

    @app.get("/")
    def page() -> str:
        return render_template(
            "index.html",
            token=token,
            who=reviewer,
            nets=[(name, title_of(name)) for name in results.nets],
            basis=results.basis,
            notes=results.basis.notes(),
            sides=desk.sides(),
            shape=workspace.settings.anisotropy,
        )

    return app


def _serve_answers(app: Flask, desk: Desk) -> None:
    """Serve what the page asks, and keep what it posts; JSON."""
    results = desk.results

    @app.get("/api/queries")
    def queries() -> Response:
        return jsonify(desk.listed(_filter(request.args, results)))

    @app.get("/api/queries/<int:number>")
    def query(number: int) -> Response:
        net = request.args.get("net") or next(iter(results.nets))
        limits = limits_of(request.args)
        return jsonify(desk.query_view(desk.index_of(number), net, limits))

    @app.get("/api/clusters")
    def groups() -> Response:
        wanted = _filter(request.args, results)
        return jsonify(desk.clusters(wanted.net, _LINKED if wanted.low is None else wanted.low))

    @app.get("/api/names")
    def names() -> Response:
        return jsonify(desk.known_and_new_names())

    @app.get("/api/photos")
    def photos_of() -> Response:
        return jsonify(desk.photos_of(request.args.get("identity", "")))

    @app.post("/api/decisions")
    def decide() -> Response:
        return jsonify(desk.decide(_posted()))

    @app.post("/api/marks")
    def mark() -> Response:
        return jsonify(desk.mark(_posted()))

    @app.post("/api/undo")
    def undo() -> Response:
        return jsonify(desk.undo(str(_posted().get("who", ""))))


def _serve_boxes(app: Flask, desk: Desk) -> None:
    """Serve the queries' boxes, and take those that people draw."""

    @app.get("/api/boxes/<int:number>")
    def box_of(number: int) -> Response:
        return jsonify(desk.boxes.view(desk.index_of(number)))

    @app.get("/api/boxes/<int:number>/answer")
    def answer(number: int) -> Response:
        return jsonify(desk.boxes.answer(desk.index_of(number)))

    @app.post("/api/boxes")
    def draw() -> Response:
        return jsonify(desk.draw(_posted()))


def _filter(args: Mapping[str, str], results: Results) -> Filter:
    def bound(name: str) -> float | None:
        try:
            value = float(args[name]) if args.get(name) else None
        except ValueError:
            value = math.nan
        if value is not None and math.isnan(value):
            raise UserError(f"{name} is {args[name]}, expected a number")
        return value

    low, high, net = bound("min"), bound("max"), args.get("net") or next(iter(results.nets))
    return Filter(net, low, high, args.get("identity", "").strip(), args.get("undecided") == "1")


def _serve_photos(app: Flask, desk: Desk) -> None:
    """Serve photos of queries by number and known photos by name, which the tables must know."""
    results, shape = desk.results, desk.workspace.settings.anisotropy

    def queried(number: int) -> Photo:
        query = results.queries[desk.index_of(number)]
        return query.path, _box(query.box), query.upright, shape

    def known(name: str) -> Photo:
        if name not in results.labels:
            abort(404, f"photo {name} is not in train.csv")
        # The folder of the training photos alone, and a name that a table holds.
        return desk.workspace.train_photo(name), _box(results.boxes.get(name)), False, shape

    def picture(photo: Photo, view: str) -> Response:
        if view not in VIEWS:
            abort(404, f"there is no view {view}")
        return Response(jpeg(*photo, view), mimetype="image/jpeg")

    def outlines(photo: Photo) -> Response:
        return jsonify({view: outline(*photo, view) for view in VIEWS})

    app.add_url_rule(
        "/query/<int:number>/<view>.jpg", "query_photo",
        lambda number, view: picture(queried(number), view),
    )  # fmt: skip
    app.add_url_rule(
        "/known/<name>/<view>.jpg", "known_photo", lambda name, view: picture(known(name), view)
    )
    app.add_url_rule(
        "/query/<int:number>/outline", "query_photo_outline",
        lambda number: outlines(queried(number)),
    )  # fmt: skip
    app.add_url_rule(
        "/known/<name>/outline", "known_photo_outline", lambda name: outlines(known(name))
    )


def _box(box: Box | None) -> Box | None:
    """The box as a tuple, which a cache can remember."""
    return None if box is None else tuple(float(value) for value in box)


def _posted() -> dict[str, object]:
    """The object that was posted; `UserError` for anything else, and for words that are none."""
    try:
        if not request.is_json:
            raise UserError("expected a JSON object, of type application/json")
        content = parse_json(request.get_data())
    except (JSONFaultError, OSError) as reason:  # no JSON, or a body that does not arrive
        raise UserError(f"expected a JSON object ({reason})") from reason
    except RequestEntityTooLarge as reason:
        raise UserError(f"expected a JSON object of at most {LARGEST} bytes") from reason
    if not isinstance(content, dict):
        raise UserError("expected a JSON object")
    for name in ("who", "decision", "net", "photo", "identity", "kind", "value"):
        if not isinstance(content.get(name, ""), str):
            raise UserError(f"{name} must be a text")
    return content


def _guard(app: Flask, token: str, hosts: set[str]) -> None:
    """Refuse what comes from other sites, and answer faults in one line of JSON."""

    @app.before_request
    def check() -> None:
        if not _own_name(_parts(f"//{request.host}").hostname or "", hosts):
            abort(
                403,
                "this page is not reached by that name; use the address, or start it with --host",
            )
        origin = request.headers.get("Origin")
        if origin is not None and _parts(origin).netloc != request.host:
            abort(403, "another site may not do this")
        if request.method not in ("GET", "HEAD", "OPTIONS") and not secrets.compare_digest(
            request.headers.get("X-Review-Token", "").encode(), token.encode()
        ):
            abort(403, "the page is older than the program; reload it")

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        photo = response.mimetype == "image/jpeg"
        response.headers["Cache-Control"] = "private, max-age=600" if photo else "no-store"
        return response

    @app.errorhandler(UserError)
    def fault(error: UserError) -> tuple[Response, int]:
        return jsonify(error=str(error)), 400

    @app.errorhandler(HTTPException)
    def http_fault(error: HTTPException) -> tuple[Response, int]:
        return jsonify(error=error.description), error.code or 500


def _parts(address: str) -> SplitResult:
    """The parts of an address; one that is none has none."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _own_name(name: str, hosts: set[str]) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name.casefold() in hosts
    return True  # only a name can be made to lead elsewhere


def review(
    workspace: Workspace,
    results: Results,
    decisions: DecisionLog,
    reviewer: str | None = None,
    host: str = "127.0.0.1",
    port: int = 8765,
    browser: bool = True,
    pattern: NamePattern = NamePattern(),  # noqa: B008 - frozen
    details: Path | None = None,
    ask_nets: AskNets = no_nets,
) -> None:
    """Serve the page until it is stopped; `port` 0 for any free one.

    reviewer: name that the page proposes, None for the login name; browser: open the page; pattern, details,
    ask_nets: as a `Desk` takes them. Raises `UserError` for a name that will not do, broken matrices and
    tables, and an address that cannot be had.
    """
    reviewer = checked_name(reviewer) if reviewer is not None else login_name()
    results.candidates(next(iter(results.nets)))  # what is broken is said now, not on the page
    decisions.mend()
    for beside in (MarkLog.beside(decisions.path), BoxLog.beside(decisions.path)):
        if beside.path.exists():
            beside.mend()
    MarkLog.beside(decisions.path).standing()
    for note in decided_photos(workspace, results).verdicts(decisions.rows()).notes():
        log(f"{decisions.path}: {note}")
    workspace.digests.remember()
    listening = open_socket(host, port)
    hosts = host, socket.gethostname()
    app = review_app(workspace, results, decisions, reviewer, hosts, pattern, details, ask_nets)
    serve(app, listening, browser)


class _Handler(WSGIRequestHandler):
    """Gives up on a request that does not arrive."""

    timeout = 30  # seconds


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 for any free one. `UserError` where it cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as reason:
        cause = getattr(reason, "strerror", None) or reason
        raise UserError(
            f"cannot listen on {host}, port {port} ({cause}); name another with --port or --host"
        ) from reason


def serve(app: Flask, listening: socket.socket, browser: bool) -> None:
    """Serve until Ctrl-C; `browser`: open the page."""
    host, port = listening.getsockname()[:2]
    if not ipaddress.ip_address(host).is_loopback:
        log(f"everybody who reaches {host}, port {port}, can see the photos and decide")
    reached = "127.0.0.1" if host == "0.0.0.0" else f"[{host}]" if ":" in host else host
    url = f"http://{reached}:{port}/"
    log(f"{url} is open for decisions; Ctrl-C ends it, and nothing is lost")
    if browser:
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line for each photo
    server = make_server(
        host, port, app, threaded=True, fd=listening.fileno(), request_handler=_Handler
    )
    would_keep("every decision is kept")
    server.serve_forever()
