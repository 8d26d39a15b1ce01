"""What is refused by its head: before a large body, or a peer's, is taken. (docs/rules.md, HEAD FIRST)

Each check is one that the request would meet anyway, where it is served; here it comes before the body. The listener asks in
its loop, so nothing here waits. A small body is taken unseen: who asks is looked at where it is served (`web.entrance`), and
here where a look at the head is enough to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from newswire.config import ServiceSettings
from newswire.core import limits
from newswire.engine.seam import ClusterAdmin, Engine
from newswire.errors import NewswireError, Refused, TooLarge
from newswire.web import request_fields
from newswire.web.auth import Authenticator
from newswire.web.entrance import caller_check
from newswire.web.origins import host_check, page_check
from newswire.web.request_fields import Environ
from newswire.web.responses import as_ours
from newswire.web.route import DeclaredRule
from newswire.web.routes.peers import Headers

PEER_ENDPOINT = "peers."


def create_admission(
    app: Flask,
    engine: Engine,
    settings: ServiceSettings,
    cluster: ClusterAdmin | None = None,
    auth: Authenticator | None = None,
) -> Callable[[Mapping[str, str]], NewswireError | None]:
    """A function of a request's head (an environ without its body) that says why it is refused, None: it is not."""
    check_host, check_page, check_caller = host_check(settings), page_check(app, engine), caller_check(app, auth)
    routes = app.url_map.bind("")

    def check(environ: Environ) -> None:
        check_host(environ)
        check_page(environ)
        rule, _ = routes.match(environ["PATH_INFO"], method=environ["REQUEST_METHOD"], return_rule=True)
        endpoint = rule.endpoint
        if not endpoint.startswith(PEER_ENDPOINT):
            check_caller(environ, endpoint)
            if not (isinstance(rule, DeclaredRule) and rule.declared.wire):  # of which any body is a text
                _check_type(environ)
        elif cluster is not None:
            cluster.check_head(environ["PATH_INFO"], Headers(environ))

    def refusal(head: Mapping[str, str]) -> NewswireError | None:
        try:
            check(dict(head))
        except NewswireError as error:
            return error
        except RequestRedirect:
            return None
        except HTTPException as error:
            return as_ours(error)
        return None

    return refusal


def _check_type(environ: Environ) -> None:
    """Only a batch is large; what is small is refused where it is served, with a better hint."""
    kind = request_fields.content_type(environ)
    if not request_fields.is_large(environ):
        return
    if kind not in request_fields.KINDS:
        raise Refused(request_fields.ACCEPTED, code="wrong-type")
    if kind != request_fields.NDJSON and int(environ["CONTENT_LENGTH"] or 0) > limits.FORM_BYTES:
        raise TooLarge(
            f"the body is over {limits.FORM_BYTES // 1024} KiB: send less at once, or a batch, as {request_fields.NDJSON} with"
            " that Content-Type; nothing was stored"
        )
