"""The local web page on which people decide: pages, photos and decisions over HTTP."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import math
import secrets
import socket
import threading
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from flask import Flask, Response, abort, jsonify, render_template, request, url_for
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.serving import WSGIRequestHandler, make_server

from whales.base.console import log
from whales.base.errors import UserError
from whales.base.plain_json import JSONFaultError, parse_json
from whales.base.stopping import would_keep
from whales.files.boxes import Box
from whales.files.decisions import (
    HELD_BACK,
    NEW,
    SAME,
    SKIP,
    UNDO,
    UNSURE,
    Decision,
    DecisionLog,
    checked_name,
    last_of_each,
    login_name,
    now,
)
from whales.files.labels import stem, with_jpg
from whales.files.workspace import Workspace
from whales.nets.net import title_of
from whales.reviewing.album import Album
from whales.reviewing.review_views import VIEWS, jpeg, outline
from whales.scores.best_photos import Candidate
from whales.scores.query_results import Results, decided_photos

PAGE = Path(__file__).resolve().parent / "review_page"
CONFLICT = "conflict"
LARGEST = 10_000  # bytes of a request
_POLICY = (
    "default-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


# A photo as `jpeg` and `outline` take it: path, box in pixels, upright, anisotropy.
Photo = tuple[Path, Box | None, bool, float]


class Filter(NamedTuple):
    """Which queries are listed.

    net: whose candidates count; low, high: of the best candidate's value, included; identity: part of
    a candidate's name, in any case.
    """

    net: str
    low: float | None = None
    high: float | None = None
    identity: str = ""
    undecided: bool = False


def review_app(
    workspace: Workspace,
    results: Results,
    decisions: DecisionLog,
    reviewer: str,
    hosts: Sequence[str] = (),
) -> Flask:
    """The web application. reviewer: name that the page proposes; hosts: names it may be reached by.

    Any address, and localhost, will do besides: a foreign page that lets its own name lead here is
    refused, as are posts without the token that this application's page carries.
    """
    # A template or static file of another folder can never be served.
    app = Flask(__name__, static_folder=PAGE, static_url_path="/page", template_folder=PAGE)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST
    token = secrets.token_urlsafe(16)
    desk = Desk(workspace, results, decisions)
    _guard(app, token, {"localhost", *(name.casefold() for name in hosts)})
    _serve_photos(app, desk)

    @app.get("/")
    def page() -> str:
        return render_template(
            "index.html",
            token=token,
            who=reviewer,
            nets=[(name, title_of(name)) for name in results.nets],
            basis=results.basis,
            notes=results.basis.notes(),
            shape=workspace.settings.anisotropy,
        )

    @app.get("/api/queries")
    def queries() -> Response:
        return jsonify(desk.listed(_filter(request.args, results)))

    @app.get("/api/queries/<int:number>")
    def query(number: int) -> Response:
        net = request.args.get("net") or next(iter(results.nets))
        return jsonify(desk.query_view(desk.index_of(number), net))

    @app.get("/api/names")
    def names() -> Response:
        return jsonify(desk.known_and_new_names())

    @app.get("/api/photos")
    def photos_of() -> Response:
        return jsonify(desk.photos_of(request.args.get("identity", "")))

    @app.post("/api/decisions")
    def decide() -> Response:
        return jsonify(desk.decide(_posted()))

    @app.post("/api/undo")
    def undo() -> Response:
        return jsonify(desk.undo(str(_posted().get("who", ""))))

    return app


class Desk:
    """The queries under review, and what people have decided so far; its dicts are the page's JSON."""

    def __init__(self, workspace: Workspace, results: Results, decisions: DecisionLog) -> None:
        self.workspace, self.results, self.decisions = workspace, results, decisions
        self._decided = decided_photos(workspace, results)
        self._album = Album(workspace, results.labels)
        self._contents: dict[Path, str] = {}  # of the files as people first saw them
        # In the photos' addresses: a browser keeps photos, and number 3 is another one next time.
        self._run = secrets.token_hex(4)

    def index_of(self, number: object) -> int:
        """Index of a query from its number, which counts from 1; 404 for another."""
        # True and False are whole numbers too.
        if (
            isinstance(number, int)
            and number is not True
            and 1 <= number <= len(self.results.queries)
        ):
            return number - 1
        abort(404, f"there is no photo number {number}")

    def listed(self, wanted: Filter) -> dict[str, object]:
        """Number and state of the queries that pass a filter, and how many there are and are decided."""
        stacks = self._stacks()
        # A skipped photo waits for its turn; one that nobody can tell is done with.
        decided = {index for index, stack in stacks.items() if stack[-1].decision != SKIP}
        ranked = self.results.candidates(wanted.net)
        chosen = [
            {"number": index + 1, "state": self._state(stacks.get(index, []))}
            for index, candidates in enumerate(ranked)
            if _passes(wanted, candidates, index in decided, self._album.name)
        ]
        return {"queries": chosen, "total": len(ranked), "decided": len(decided)}

    def query_view(self, index: int, net: str) -> dict[str, object]:
        """All that the page shows of one query."""
        query = self.results.queries[index]
        stack = self._stacks().get(index, [])
        candidates = self.results.candidates(net)[index]
        with contextlib.suppress(UserError):  # the page says what cannot be read
            query.content(self._seen)
            for candidate in candidates:
                self._seen(self.workspace.train_photo(candidate.photo or ""))
        return {
            "number": index + 1,
            "name": query.name,
            "new": query.new,
            "state": self._state(stack),
            "decided": [
                {
                    "who": person,
                    "decision": row.decision,
                    "identity": self._album.name(self._identity(row)),
                }
                for person, row in last_of_each(stack).items()
            ],
            "views": self._views("query_photo", number=index + 1),
            "candidates": [
                {
                    "photo": with_jpg(candidate.photo),
                    "identity": self._album.name(candidate.identity),
                    "score": candidate.score,
                    "probability": candidate.probability,
                    "views": self._views("known_photo", name=candidate.photo),
                }
                for candidate in candidates
            ],
        }

    def decide(self, posted: Mapping[str, object]) -> dict[str, object]:
        """Keep what a person decided.

        posted: number, decision, who; for `same` the candidate's photo and net; instead of a decision an
        identity, of a known individual or a new one's name. `UserError` for a decision or candidate that
        there is not.
        """
        index = self.index_of(posted.get("number"))
        person, decision = checked_name(str(posted.get("who", ""))), posted.get("decision")
        photo = score = photo_content = ""
        if posted.get("identity"):
            decision, photo = self._album.meant(str(posted["identity"]))
        elif decision not in (SAME, NEW, UNSURE, SKIP):
            raise UserError(f"a decision is {SAME}, {NEW}, {UNSURE} or {SKIP}; received {decision}")
        elif decision == SAME:
            net, photo = str(posted.get("net", "")), str(posted.get("photo", ""))
            candidate = self._candidate(index, net, photo)
            score = "" if candidate.score is None else f"{candidate.score:.6f}"
            photo_content = self._seen(self.workspace.train_photo(stem(photo)))
        query = self.results.queries[index]
        contents = query.content(self._seen), photo_content
        row = Decision(person, now(), query.name, str(decision), photo, score, *contents)
        self.decisions.append(row)
        stack = self._stacks().get(index, [])
        return {"number": index + 1, "state": self._state(stack)}

    def known_and_new_names(self) -> dict[str, list[str]]:
        """What people call the known individuals, and the new ones that standing decisions name."""
        known = self._album.all_names()
        rows = [row for stack in self._stacks().values() for row in last_of_each(stack).values()]
        given = {row.candidate for row in rows if row.decision == NEW and row.candidate}
        return {"known": known, "new": sorted(given - {*known}, key=str.casefold)}

    def photos_of(self, identity: str) -> dict[str, object]:
        """All known photos of an individual, and what their source said of them; `UserError` for nobody's."""
        return {
            "identity": identity,
            "photos": [
                {
                    "photo": with_jpg(photo.name),
                    "details": photo.details,
                    "views": self._views("known_photo", name=photo.name),
                }
                for photo in self._album.photos(identity)
            ],
        }

    def undo(self, person: str) -> dict[str, object]:
        """Take back a person's last decision on what is under review; `UserError` for none."""
        row = self.decisions.undo(checked_name(person), self._decided.index_of)
        return {"number": (self._decided.index_of(row) or 0) + 1, "decision": UNDO}

    def _seen(self, path: Path) -> str:
        """Digest of a photo, which must stay what people saw; `UserError` where it has changed."""
        content = self.workspace.digests.of(path)
        if self._contents.setdefault(path, content) != content:
            raise UserError(f"{path} has changed since it was shown; start the program again")
        return content

    def _stacks(self) -> dict[int, list[Decision]]:
        """Index of a query -> its standing decisions, from the table as it is now."""
        return self._decided.verdicts(self.decisions.rows()).of_photo

    def _views(self, endpoint: str, **key: int | str | None) -> dict[str, str]:
        """Addresses of a photo's views, and of where its fluke lies in them; `key`: which photo."""
        views = {view: url_for(endpoint, view=view, run=self._run, **key) for view in VIEWS}
        return views | {"outline": url_for(f"{endpoint}_outline", **key)}

    def _identity(self, row: Decision) -> str:
        """Whom a decision names; "" for nobody. A candidate may be an identity or a photo of it."""
        return self.results.labels.get(stem(row.candidate), row.candidate)

    def _state(self, stack: Sequence[Decision]) -> str:
        """The last decision on a query, `conflict` where people differ, "" for none."""
        last = last_of_each(stack).values()
        words = {
            (row.decision, self._identity(row)) for row in last if row.decision not in HELD_BACK
        }
        return CONFLICT if len(words) > 1 else stack[-1].decision if stack else ""

    def _candidate(self, index: int, net: str, photo: str) -> Candidate:
        for candidate in self.results.candidates(net)[index]:
            if with_jpg(candidate.photo) == photo:
                return candidate
        raise UserError(f"photo {photo} is no candidate of this one; reload the page")


def _passes(
    wanted: Filter, candidates: Sequence[Candidate], decided: bool, name: Callable[[str], str]
) -> bool:
    if wanted.undecided and decided:
        return False
    value = candidates[0].value if candidates else 0.0
    if wanted.low is not None and value < wanted.low:
        return False
    if wanted.high is not None and value > wanted.high:
        return False
    text = wanted.identity.casefold()
    identities = [candidate.identity for candidate in candidates]
    return not text or any(text in f"{who}\n{name(who)}".casefold() for who in identities)


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
    for name in ("who", "decision", "net", "photo", "identity"):
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
) -> None:
    """Serve the page until it is stopped; `port` 0 for any free one.

    reviewer: name that the page proposes, None for the login name; browser: open the page. Raises
    `UserError` for a name that will not do, broken matrices and tables, and an address that cannot be had.
    """
    reviewer = checked_name(reviewer) if reviewer is not None else login_name()
    results.candidates(next(iter(results.nets)))  # what is broken is said now, not on the page
    decisions.mend()
    for note in decided_photos(workspace, results).verdicts(decisions.rows()).notes():
        log(f"{decisions.path}: {note}")
    workspace.digests.remember()
    listening = open_socket(host, port)
    app = review_app(workspace, results, decisions, reviewer, (host, socket.gethostname()))
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
