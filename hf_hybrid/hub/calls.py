"""Calls to the Hub: repeated after temporary errors, with one-line error messages."""

import contextlib
import time
from collections.abc import Callable, Iterator

import httpx2
from huggingface_hub import get_session
from huggingface_hub.errors import HfHubHTTPError

from hf_hybrid.core.errors import InputError, PushFailed

RETRY_PAUSES = (2.0, 10.0, 30.0)  # seconds between attempts, in addition to the retries within the client
SILENCE_LIMIT = 600.0  # seconds without a byte; the client itself would wait forever


def retried(call: Callable, **arguments: object) -> object:
    """Calls the Hub and repeats the call after a temporary error; `call` must be safe to repeat.

    Args:
        call: a method of `HfApi`, or a function that makes such calls.
        **arguments: arguments of the call.

    Returns:
        What the call returns.
    """
    for pause in (*RETRY_PAUSES, None):
        session = get_session()
        before, session.timeout = session.timeout, SILENCE_LIMIT
        try:
            return call(**arguments)
        except (httpx2.TransportError, ConnectionError, HfHubHTTPError, RuntimeError) as error:
            status = status_of(error)
            if pause is None or not (status is None or status in (408, 409, 412, 429) or status >= 500):
                raise
        finally:
            session.timeout = before
        time.sleep(pause)
    raise AssertionError("the last attempt returns or raises")


def status_of(error: BaseException | None) -> int | None:
    """The HTTP status behind an error, None without one; that of a failed upload is in the cause of the error."""
    while error is not None:
        if isinstance(error, HfHubHTTPError):
            return error.response.status_code
        error = error.__cause__
    return None


@contextlib.contextmanager
def one_line_errors(repo_id: str) -> Iterator[None]:
    """Turns what the clients raise into one line; their own messages may hold addresses and headers.

    Raises:
        InputError: the Hub refused the token.
        PushFailed: any other error of the Hub or of the connection.
    """
    try:
        yield
    except (InputError, PushFailed):
        raise
    except (httpx2.HTTPError, OSError, RuntimeError, ValueError) as error:
        status = status_of(error)
        said = getattr(error, "server_message", None) or (str(error) if isinstance(error, ValueError) else "")
        answer = " ".join(f"{status or type(error).__name__} {said}".split())
        if status in (401, 403):
            raise InputError(
                f"expected a token that may write to `{repo_id}`, found the answer {answer}: run `hf auth login` or "
                "set `HF_TOKEN`"
            ) from None
        raise PushFailed(
            f"the push to `{repo_id}` failed with {answer}: push again, what has arrived is not sent twice"
        ) from None
