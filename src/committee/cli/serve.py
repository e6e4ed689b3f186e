"""Serve models over HTTP and gRPC.

MODEL is a member or an ensemble of the store, or the path or address of an exported file or of a bundle, as
for committee predict; NAME=MODEL gives it another name in the server. A photo is predicted with POST
/predict, arrays with the Open Inference Protocol v2, as clients of Triton and KServe send them; the page at /
predicts a photo that is dropped on it. The first model is the default of /predict.

Only this computer reaches the server, unless --host names another address, which needs a token. SIGTERM and
Ctrl-C end it after it has answered what it accepted.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.cli._options import (
    add_set,
    add_store,
    add_trust,
    add_uncertainty,
    duration_of,
    recipe_of,
    store_of,
)

if TYPE_CHECKING:
    from committee.serving.limits import Limits
    from committee.serving.measures import Measures
    from committee.serving.served import Served

GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the models, the address, the limits, and the form of the predictions."""
    parser.add_argument(
        "models", nargs="+", metavar="MODEL", help="member, ensemble, exported file or bundle, or NAME=MODEL"
    )
    _add_address(parser)
    _add_limits(parser)
    parser.add_argument(
        "--engine",
        default="auto",
        metavar="NAME",
        help="engine of models of the store, such as onnxruntime or channels_last:bf16; eager: the model as "
        "it is (default: auto, the one that committee optimize has stored)",
    )
    add_uncertainty(parser)
    add_store(parser)
    parser.add_argument(
        "--config", dest="recipe", metavar="FILE", help="recipe, for its device and its python: backbones"
    )
    add_set(parser, "replace one value of the recipe, such as device=cpu")
    add_trust(parser)
    parser.set_defaults(config=None)


def _add_address(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="HOST", help="address to listen on (default: 127.0.0.1)"
    )
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port of HTTP; 0 is any free one (default: 8000)"
    )
    parser.add_argument(
        "--grpc-port", type=int, metavar="N", help="serve gRPC too, on this port; 0 is any free one"
    )
    parser.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="file with the token that requests must have as Authorization: Bearer TOKEN (default: "
        "$COMMITTEE_TOKEN)",
    )
    parser.add_argument(
        "--certificate",
        "--ssl-certfile",
        type=Path,
        metavar="FILE",
        help="encrypt HTTP and gRPC with the certificate in FILE, in the PEM format, followed by those of "
        "its issuers",
    )
    parser.add_argument(
        "--key",
        "--ssl-keyfile",
        type=Path,
        metavar="FILE",
        help="private key of --certificate, in the PEM format without a password (default: it is in the file "
        "of the certificate)",
    )


def _add_limits(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--batch",
        type=int,
        default=32,
        metavar="N",
        help="largest number of images in one call of a model (default: 32)",
    )
    parser.add_argument(
        "--delay",
        type=float,
        default=2.0,
        metavar="MS",
        help="longest time in milliseconds that an image waits for others that are being received, to be one "
        "batch with them (default: 2)",
    )
    parser.add_argument(
        "--queue",
        type=int,
        default=256,
        metavar="N",
        help="largest number of images that are accepted and not yet answered; others get status 503 "
        "(default: 256)",
    )
    parser.add_argument(
        "--body",
        type=int,
        default=10_000_000,
        metavar="BYTES",
        help="largest size of a request (default: 10000000)",
    )
    parser.add_argument(
        "--time-limit",
        type=duration_of,
        default=30.0,
        metavar="TIME",
        help="time in which a request has to be received, and to be answered, such as 5s or 2m "
        "(default: 30s)",
    )
    parser.add_argument(
        "--decoders",
        type=int,
        metavar="N",
        help="number of processes that decode photos (default: one for each core, at most 8)",
    )


def run(arguments: Namespace) -> int:
    """Serve until a signal."""
    from committee.serving.packages import check_packages

    check_packages(arguments.grpc_port is not None)
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # gRPC would print a line for each failed handshake.
    from committee.serving.measures import Measures
    from committee.serving.server import Server, bind
    from committee.serving.service import Service

    limits, measures = _limits(arguments), Measures()
    with bind(
        arguments.host,
        arguments.port,
        arguments.grpc_port,
        arguments.token_file,
        arguments.certificate,
        arguments.key,
    ) as listening:
        service = Service(_opened(arguments, limits, measures), limits)

        def say() -> None:
            for served in service.models.values():
                print(f"{served.name}: {served.type.name.replace('_', ' ')}, digest {served.digest}")
            print(*listening.addresses(), sep="\n", flush=True)

        Server(service, measures, listening, say).run()
    return 0


def _limits(arguments: Namespace) -> Limits:
    from committee.serving.limits import Limits

    more: dict[str, Any] = {} if arguments.decoders is None else {"decoders": arguments.decoders}
    return Limits(
        batch=arguments.batch,
        delay=arguments.delay / 1000,
        queue=arguments.queue,
        body=arguments.body,
        seconds=arguments.time_limit,
        **more,
    )


def _opened(arguments: Namespace, limits: Limits, measures: Measures) -> list[Served]:
    """Open the models, whose names in the server differ."""
    from committee.errors import UsageError
    from committee.serving.served import open_served

    opened: list[Served] = []
    store, recipe = store_of(arguments), recipe_of(arguments)
    for given in arguments.models:
        served = open_served(
            given,
            store,
            recipe,
            limits,
            engine=arguments.engine,
            on_batch=measures.count_batch,
            coverage=arguments.coverage,
            method=arguments.sets,
            abstain_below=arguments.abstain_below,
            std=arguments.std,
        )
        if served.name in [each.name for each in opened]:
            raise UsageError(
                f"'{given}'",
                expected="a model of another name",
                got=f"'{served.name}' twice",
                todo=f"Give it a name in the server: NAME={given}",
            )
        opened.append(served)
    return opened
