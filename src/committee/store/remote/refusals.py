"""What object storage answers in place of an object, as sentences."""

from __future__ import annotations

import re

from committee.errors import StorageError, StoreError, printable

CREDENTIALS = {
    "s3": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or install boto3 and set AWS_PROFILE",
    "gcs": "Set GOOGLE_APPLICATION_CREDENTIALS to the key file of a service account",
    "azure": "Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""What to do without credentials, by the kind of the storage: those that have conditional writes."""

AGAIN = "then run the same command again."
WRITING = "the permission to list, read, write and delete"
READING = "the permission to list and read"

_NONE = re.compile(r"169\.254\.169\.254|metadata\.google", re.IGNORECASE)
_EXPIRED = re.compile(r"ExpiredToken|RequestExpired|token.{0,20}expired", re.IGNORECASE)
_CLOCK = re.compile(r"RequestTimeTooSkewed")
_REGION = re.compile(
    r"AuthorizationHeaderMalformed|PermanentRedirect|incorrectly configured region|IllegalLocationConstraint"
)
_UNKNOWN_USER = re.compile(
    r"credential|InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|401 Unauthorized"
    r"|InvalidAuthenticationInfo|AuthenticationFailed|UnrecognizedClient",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(r"403 Forbidden|AccessDenied|AllAccessDisabled")
_UNSUPPORTED = re.compile(r"501 Not Implemented|<Code>NotImplemented")
_TRIES = re.compile(r" in [\d.]+\w*s(, after .*?retry_timeout: \d+s)?\s+(?=- )")
"""What the client tells of its attempts."""
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist")


class RemoteError(StoreError, StorageError):
    """Object storage cannot be reached, or refuses a request."""


def refusal(address: str, kind: str, error: Exception, needs: str = WRITING) -> RemoteError:
    """Return the error of a request as a sentence with what to do.

    Parameters
    ----------
    address : str
        Where the request went.
    kind : str
        The kind of the storage: s3, gcs, azure, or another one.
    error : Exception
        The error of the client.
    needs : str
        What the credentials must allow.
    """
    text, reason = str(error), reason_of(error)
    who = printable(address)
    if is_absent_bucket(error):
        return no_bucket(address)
    if "invalid path" in text:
        return bad_name(address, text)
    if _NONE.search(text):
        return no_credentials(address, kind)
    if _UNSUPPORTED.search(text) or isinstance(error, NotImplementedError):
        return no_conditions(address, reason)
    if _REGION.search(text):
        named = re.search(r"expecting '([\w-]+)'|<Region>([\w-]+)</Region>", text)
        region = f", {named[1] or named[2]}" if named else ""
        todo = f"Set AWS_REGION to the region of the bucket{region}, {AGAIN}"
        return RemoteError(who, expected="the region of the bucket", got=reason, todo=todo)
    if _EXPIRED.search(text):
        todo = f"Renew them (of a session, AWS_SESSION_TOKEN as well), {AGAIN}"
        return RemoteError(who, expected="credentials that have not expired", got=reason, todo=todo)
    if _CLOCK.search(text):
        todo = f"Set the clock of this machine, {AGAIN}"
        return RemoteError(who, expected="the time of the server", got=reason, todo=todo)
    if _UNKNOWN_USER.search(text) or type(error).__name__ == "UnauthenticatedError":
        todo = f"{CREDENTIALS.get(kind, CREDENTIALS['s3'])}, {AGAIN}"
        return RemoteError(who, expected="valid credentials", got=reason, todo=todo)
    if _FORBIDDEN.search(text) or is_forbidden(error):
        todo = "Allow that for these credentials, or name another address."
        return RemoteError(who, expected=needs, got=reason, todo=todo)
    todo = "Check the network and the address of the server, then run the same command again."
    return RemoteError(f"{who}: cannot be reached ({reason})", todo=todo)


def is_absent_bucket(error: Exception) -> bool:
    """Return whether an error says that there is no bucket of this name."""
    return _NO_BUCKET.search(str(error)) is not None


def is_forbidden(error: Exception) -> bool:
    """Return whether an error says that these credentials may not do that, though they are valid."""
    if any(each.search(str(error)) for each in (_EXPIRED, _CLOCK, _UNKNOWN_USER)):
        return False
    return isinstance(error, PermissionError) or type(error).__name__ == "PermissionDeniedError"


def no_credentials(address: str, kind: str) -> RemoteError:
    """Return the error for storage without credentials in the environment."""
    todo = f"{CREDENTIALS[kind]}, {AGAIN}"
    return RemoteError(printable(address), expected="credentials", got="none in the environment", todo=todo)


def bad_name(address: str, text: str) -> RemoteError:
    """Return the error for an object whose key the client cannot address."""
    return RemoteError(
        printable(address),
        expected="names without empty parts and without '..' between their '/'",
        got=repr((re.findall(r'[Pp]ath "(.*?)"', text) or [text])[0]),
        todo="Rename the object, or name the folders beside it.",
    )


def no_bucket(address: str) -> RemoteError:
    """Return the error for a bucket that does not exist."""
    todo = "Create it, or correct the address."
    return RemoteError(
        printable(address), expected="a bucket that exists", got="none of this name", todo=todo
    )


def no_conditions(address: str, reason: str) -> RemoteError:
    """Return the error for storage without conditional writes."""
    return RemoteError(
        printable(address),
        expected="storage with conditional writes (If-None-Match and If-Match)",
        got=reason,
        todo="Name a bucket of a service that has them, such as Amazon S3, Google Cloud Storage, Azure, "
        "Cloudflare R2 or MinIO, or a local store.",
    )


def reason_of(error: Exception) -> str:
    """Return the code and message of the server, or the first line of an error."""
    text = str(error)
    code, message = (re.search(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL) for tag in ("Code", "Message"))
    if code:
        return printable(f"{code[1]}: {message[1].rstrip('.')}" if message else code[1])
    line = _TRIES.sub(" ", text.partition("\n")[0].strip())
    return printable(re.sub(r"^Generic \w+ error: ", "", line)[:300]) or type(error).__name__
