"""Requests that Schemathesis makes from the server's own OpenAPI, valid and invalid ones."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")

from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

MOST = int(os.environ.get("COMMITTEE_FUZZ", "3"))
"""Requests to each operation."""


def test_every_operation_answers_as_its_description_says(server: Any) -> None:
    described = server.client.get("/openapi.json").json()
    schema = schemathesis.openapi.from_dict(described)
    operations = [each.ok() for each in schema.get_all_operations()]
    assert {operation.path for operation in operations} == set(described["paths"])
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=MOST, deadline=None, suppress_health_check=list(HealthCheck))
        def answers(case: Any) -> None:
            # No schema says that shape and data of a tensor agree, or that a model has maps.
            case.call_and_validate(base_url=server.http, excluded_checks=[positive_data_acceptance])

        answers()
