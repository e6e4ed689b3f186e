import pytest

from committee.store.remote.refusals import is_forbidden, refusal

MINE = "Server returned non-2xx status code: 403 Forbidden: <Code>{}</Code><Message>No.</Message>"


@pytest.mark.parametrize(
    "code", ["InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "RequestTimeTooSkewed"]
)
def test_a_refusal_of_all_requests_is_not_one_of_a_single_file(code: str) -> None:
    assert not is_forbidden(PermissionError(MINE.format(code)))


def test_a_file_that_valid_credentials_may_not_read_is_forbidden() -> None:
    error = PermissionError(MINE.format("AccessDenied"))
    assert is_forbidden(error)
    assert str(refusal("s3://bucket/a.png", "s3", error)) == (
        "s3://bucket/a.png: expected the permission to list, read, write and delete, got AccessDenied: No. "
        "Allow that for these credentials, or name another address."
    )
