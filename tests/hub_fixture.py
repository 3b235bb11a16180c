"""A loopback stand-in for the Hugging Face Hub, used by the real, unchanged clients.

It keeps repositories in memory and speaks the part of the HTTP interface with which `huggingface_hub`, `datasets` and
`diffusers` create, fill, list, read and delete repositories, large files by LFS. Requests are logged, and rules make
chosen ones fail. It needs the standard library and PyYAML, which `huggingface_hub` itself requires.

Not modelled: xet storage (set `HF_HUB_DISABLE_XET=1`), CDN redirects, multipart uploads, paged listings, discussions,
quotas, and any card check beyond "the front matter is a YAML mapping". A push that passes here may still be refused by
the real Hub.
"""

import base64
import hashlib
import json
import re
import socket
import socketserver
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

OWNER_TOKEN = "hf_owner_write"
READER_TOKEN = "hf_owner_read"
OTHER_TOKEN = "hf_other_write"

LFS_SUFFIXES = (".parquet", ".safetensors", ".bin", ".pt", ".arrow", ".npz", ".zip", ".png", ".jpg", ".jpeg")
LFS_MIN_SIZE = 10 * 1024**2

MAIN = "refs/heads/main"


def hub_environment(url: str, home: str | Path, token: str = OWNER_TOKEN) -> dict[str, str]:
    """Environment variables that point every client at the stand-in and at nothing else.

    The clients copy most of these at import, so set them before the first import of any of them.

    Args:
        url: Address of the stand-in, spelled exactly as it spells itself (`LoopbackHub.url`).
        home: Empty folder for all caches.
        token: Access token; this one variable is read at every call.
    """
    return {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        # Otherwise every load_dataset sends a HEAD to s3.amazonaws.com.
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        # A proxy named in the environment would capture loopback addresses too.
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


# --- Repositories ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StoredFile:
    """What a commit says about a file: `oid` is the git blob id (of the pointer, for LFS), `sha256` is set for LFS."""

    size: int
    oid: str
    sha256: str | None = None

    @property
    def key(self) -> str:
        """Where `Repo.blobs` keeps the content."""
        return self.sha256 or self.oid


Changes = Mapping[str, bytes | StoredFile | None]


@dataclass(frozen=True)
class Commit:
    """A state of a repository: `files` maps each path to its file."""

    sha: str
    parent: str | None
    files: dict[str, StoredFile]
    title: str
    author: str
    date: str

    def under(self, path: str) -> dict[str, StoredFile]:
        """The file of this path, or the files below this folder."""
        return {name: file for name, file in self.files.items() if name == path or name.startswith(path + "/")}


@dataclass
class Repo:
    """A repository.

    Attributes:
        granted: Names of the accounts that may download although the repository is gated.
        refs: Full ref name (`refs/heads/main`, `refs/tags/v1`, `refs/pr/1`) to commit sha.
        blobs: Content by sha256 (LFS) or git blob id; LFS objects are here from their upload on, committed or not.
    """

    repo_id: str
    repo_type: str
    private: bool = False
    gated: Literal["auto", "manual", False] = False
    granted: set[str] = field(default_factory=set)
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the first commit, as the Hub does."""
        self.commit({".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}, "initial commit")

    @property
    def head(self) -> Commit:
        """The newest commit of `main`."""
        return self.at("main")

    def at(self, revision: str) -> Commit:
        """The commit of a branch, tag, full ref or (short) sha; `HubError` if there is none."""
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in self.refs:
                return self.commits[self.refs[ref]]
        found = [commit for sha, commit in self.commits.items() if len(revision) >= 7 and sha.startswith(revision)]
        if len(found) != 1:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return found[0]

    def history(self, revision: str = "main") -> list[Commit]:
        """The commits from `revision` back to the first."""
        commits = [self.at(revision)]
        while commits[-1].parent:
            commits.append(self.commits[commits[-1].parent])
        return commits

    def read(self, path: str, revision: str = "main") -> bytes:
        """The content of a file as it would be served."""
        return self.blobs[self.at(revision).files[path].key]

    def store(self, data: bytes, *, lfs: bool) -> StoredFile:
        """Keep a content and describe it, without a commit."""
        sha256 = hashlib.sha256(data).hexdigest() if lfs else None
        file = StoredFile(len(data), _git_oid(_lfs_pointer(sha256, len(data)) if lfs else data), sha256)
        self.blobs[file.key] = data
        return file

    def commit(
        self,
        changes: Changes,
        title: str = "a commit",
        author: str = "owner",
        ref: str = MAIN,
        parent: str | None = None,
    ) -> str:
        """Add a commit.

        Args:
            changes: New content of each path, or `None` to delete it.
            title: Commit message.
            author: Account name.
            ref: Full name of the branch or pull request that moves to the commit.
            parent: Sha of the commit to build on; the newest of `ref`, if not given.

        Returns:
            The sha of the commit.
        """
        parent = parent or self.refs.get(ref)
        files = dict(self.commits[parent].files) if parent else {}
        for path, change in changes.items():
            if isinstance(change, bytes):
                change = self.store(change, lfs=_goes_to_lfs(path, len(change), change[:512]))
            if change is None:
                del files[path]
            else:
                files[path] = change
        content = (len(self.commits), parent, title, sorted((path, file.oid) for path, file in files.items()))
        sha = hashlib.sha1(repr(content).encode()).hexdigest()
        date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        self.commits[sha] = Commit(sha, parent, files, title, author, date)
        self.refs[ref] = sha
        return sha

    def corrupt(self, path: str, *, relabel: bool = False) -> None:
        """Flip a bit in the middle of a file of `main`; its length stays.

        Args:
            path: A file that is not empty.
            relabel: `False`: listings still show the old hash, so whoever downloads the file can find the damage.
                `True`: listings show the hash of the damaged content, so whoever uploaded the file can find it.
        """
        file = self.head.files[path]
        data = bytearray(self.blobs[file.key])
        data[len(data) // 2] ^= 1
        if relabel:
            self.head.files[path] = self.store(bytes(data), lfs=file.sha256 is not None)
        else:
            self.blobs[file.key] = bytes(data)


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _lfs_pointer(sha256: str, size: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def _goes_to_lfs(path: str, size: int, sample: bytes) -> bool:
    """The Hub keeps text in git; binary and big files go to LFS."""
    return path.endswith(LFS_SUFFIXES) or size > LFS_MIN_SIZE or b"\0" in sample


# --- Accounts, requests, answers, faults -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """Whom a token stands for."""

    name: str
    role: Literal["write", "read"] = "write"
    orgs: tuple[str, ...] = ()

    def owns(self, repo_id: str) -> bool:
        """Whether the repository lies in a namespace of this account."""
        return repo_id.split("/")[0] in (self.name, *self.orgs)


@dataclass
class Request:
    """A request, as the handlers see it and the log keeps it.

    Attributes:
        raw_path: Path as sent, quoted.
        account: Whom the token stands for, `None` without a token.
        params: Unquoted groups of the route.
        repo: The repository, for routes with an `id`; it exists and the account has access.
        commit: The commit, for routes with a `rev`.
        status: Status of the answer, `None` if there was none.
        sent: Size of the body of the answer.
    """

    hub: "LoopbackHub" = field(repr=False)
    method: str
    raw_path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    account: Account | None = None
    params: dict[str, str] = field(default_factory=dict, repr=False)
    repo: Repo | None = field(default=None, repr=False)
    commit: Commit | None = field(default=None, repr=False)
    status: int | None = None
    sent: int = 0

    @property
    def path(self) -> str:
        """Unquoted path, without the query."""
        return unquote(self.raw_path)

    def json(self) -> Any:
        """The body, decoded; an empty mapping if there is none."""
        return json.loads(self.body or b"{}")

    def flag(self, name: str) -> bool:
        """Whether a query parameter is set and true."""
        return self.query.get(name, ["false"])[0] in ("1", "true")


@dataclass
class Answer:
    """A status, a body and headers; `Content-Length` is added when it is sent."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def _json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})


class HubError(Exception):
    """Ends a handler with an error; the clients choose their exception by the `X-Error-Code` header."""

    def __init__(self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None):
        super().__init__(message)
        codes = {"X-Error-Code": code} if code else {}
        self.answer = _json({"error": message}, status, {"X-Error-Message": message, **codes, **(headers or {})})


@dataclass
class Fault:
    """A rule for some requests: answer a status without doing the work, end the connection, call something, or count.

    Attributes:
        method: Regular expression for the whole method.
        path: Regular expression searched in the unquoted path, without the query.
        skip: Number of matching requests to let through first.
        times: Number of requests to act on after that; `None` means all.
        status: Status to answer.
        headers: Headers of that answer, such as `Retry-After`.
        drop: When to end the connection: before the body is read (`unread`), after half of it (`half_read`), when the
            work is done but not answered (`unanswered`), or in the middle of the answer (`half_answered`).
        reset: End it by a TCP reset; `False` closes cleanly. The clients treat the two differently.
        before: Called before the work is done.
        after: Called after the work is done and before it is answered.
        seen: Matching requests so far.
        hits: Requests acted on so far.
    """

    method: str
    path: str
    skip: int = 0
    times: int | None = 1
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    drop: Literal["unread", "half_read", "unanswered", "half_answered"] | None = None
    reset: bool = True
    before: Callable[[], object] = lambda: None
    after: Callable[[], object] = lambda: None
    seen: int = 0
    hits: int = 0

    def takes(self, method: str, path: str) -> bool:
        """Count a request and tell whether to act on it."""
        if not (re.fullmatch(self.method, method) and re.search(self.path, path)):
            return False
        self.seen += 1
        acts = self.seen > self.skip and self.hits != self.times
        self.hits += acts
        return acts


# --- The Hub ---------------------------------------------------------------------------------------------------------


class LoopbackHub:
    """The stand-in: state, faults, log and server.

    Attributes:
        url: Address, known from construction on; the value for `HF_ENDPOINT`.
        accounts: Account of each token.
        repos: Repositories by type and id.
        faults: Active rules; the first that takes a request decides.
        log: Requests so far, in the order in which they were finished.
        problems: Requests without a route and errors of the stand-in itself; a test should end with none.
    """

    def __init__(self) -> None:
        """Bind a free port; requests are served after `start`."""
        self._lock = threading.Lock()
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.clear()

    def start(self) -> "LoopbackHub":
        """Serve in a daemon thread."""
        threading.Thread(target=self._server.serve_forever, name="loopback-hub", daemon=True).start()
        return self

    def clear(self) -> None:
        """Forget everything but the address."""
        self.accounts = {
            OWNER_TOKEN: Account("owner", orgs=("hospital",)),
            READER_TOKEN: Account("owner", "read", orgs=("hospital",)),
            OTHER_TOKEN: Account("other"),
        }
        self.repos: dict[tuple[str, str], Repo] = {}
        self.faults: list[Fault] = []
        self.log: list[Request] = []
        self.problems: list[str] = []

    def repo(self, repo_id: str, repo_type: str = "model") -> Repo:
        """An existing repository; `KeyError` if there is none."""
        return self.repos[repo_type, repo_id]

    def create_repo(
        self, repo_id: str, repo_type: str = "model", private: bool = False, files: Changes | None = None
    ) -> Repo:
        """Put a repository in place without a client; `files` make its second commit."""
        repo = self.repos[repo_type, repo_id] = Repo(repo_id, repo_type, private)
        if files:
            repo.commit(files)
        return repo

    def fail(self, method: str, path: str, **effect: Any) -> Fault:
        """Add a rule for requests, whose other fields are `effect`; see `Fault`."""
        self.faults.append(Fault(method, path, **effect))
        return self.faults[-1]

    def requests(self, method: str = ".*", path: str = "") -> list[Request]:
        """Logged requests, chosen by regular expressions like those of `Fault`."""
        return [entry for entry in self.log if re.fullmatch(method, entry.method) and re.search(path, entry.path)]

    def fault_for(self, method: str, path: str) -> Fault:
        """The rule that acts on a request, or one that does nothing."""
        with self._lock:
            return next((fault for fault in self.faults if fault.takes(method, path)), Fault(method, path))

    def answer(self, request: Request) -> Answer:
        """Do what a request asks for; one at a time."""
        try:
            with self._lock:
                self._authenticate(request)
                for method, pattern, access, handler in ROUTES:
                    match = re.fullmatch(pattern, request.raw_path)
                    if match and re.fullmatch(method, request.method):
                        request.params = {k: unquote(v) for k, v in match.groupdict().items() if v is not None}
                        if access:
                            self.authorize(request, access)
                        result = handler(request)
                        return result if isinstance(result, Answer) else _json(result)
            raise LookupError(f"no route for {request.method} {request.raw_path}")
        except HubError as error:
            return error.answer
        except Exception:
            self.problems.append(traceback.format_exc())
            return _json({"error": self.problems[-1]}, 501)

    def _authenticate(self, request: Request) -> None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token and token not in self.accounts:
            # The clients know this sentence: it is the 401 that does not mean "not found".
            raise HubError(401, "Invalid credentials in Authorization header")
        request.account = self.accounts.get(token)

    def authorize(self, request: Request, access: str) -> None:
        """Find what a request is about, if its account has the access that `ROUTES` asks for."""
        repo_id, account = request.params["id"], request.account
        repo = self.repos.get((request.params.get("type", "models")[:-1], repo_id))
        owner = account is not None and account.owns(repo_id)
        if repo is None or (repo.private and not owner and access != "address"):
            # What one may not see does not exist; without a token the Hub says 401 for both.
            raise HubError(404 if account else 401, "Repository not found", "RepoNotFound")
        if access == "download" and repo.gated and not owner and (account is None or account.name not in repo.granted):
            raise HubError(403 if account else 401, f"Access to {repo_id} is restricted", "GatedRepo")
        if access == "write":
            _require_write(account, repo_id)
        request.repo = repo
        if "rev" in request.params:
            request.commit = repo.at(request.params["rev"])


# --- Handlers: what they return is sent as JSON, unless it is an Answer ----------------------------------------------


def _require_write(account: Account | None, repo_id: str) -> None:
    if account is None:
        raise HubError(401, "Invalid username or password.")
    if account.role != "write":
        raise HubError(403, f"This token of {account.name} is read-only; {repo_id} needs a write token")
    if not account.owns(repo_id):
        raise HubError(403, f"{account.name} does not have the rights to write to {repo_id}")


def _whoami(request: Request) -> Any:
    account = request.account
    if account is None:
        raise HubError(401, "Invalid username or password.")
    orgs = [{"type": "org", "name": org} for org in account.orgs]
    auth = {"type": "access_token", "accessToken": {"displayName": "test", "role": account.role}}
    return {"type": "user", "name": account.name, "fullname": account.name, "orgs": orgs, "auth": auth}


def _create_repo(request: Request) -> Any:
    hub, (repo_type, repo_id) = request.hub, _named_repo(request)
    _require_write(request.account, repo_id)
    if (repo_type, repo_id) in hub.repos:
        url = _page(request, hub.repos[repo_type, repo_id])
        return _json({"error": f"You already created this {repo_type} repo", "url": url}, 409)
    repo = hub.create_repo(repo_id, repo_type, private=request.json().get("visibility") == "private")
    return {"url": _page(request, repo), "name": repo_id, "id": repo_id}


def _delete_repo(request: Request) -> Any:
    repo_type, repo_id = _named_repo(request)
    request.params = {"type": repo_type + "s", "id": repo_id}
    request.hub.authorize(request, "write")
    del request.hub.repos[repo_type, repo_id]
    return {}


def _named_repo(request: Request) -> tuple[str, str]:
    content = request.json()
    namespace = content.get("organization") or (request.account.name if request.account else "")
    return content.get("type", "model"), f"{namespace}/{content['name']}"


def _page(request: Request, repo: Repo) -> str:
    return f"{request.hub.url}/{'' if repo.repo_type == 'model' else repo.repo_type + 's/'}{repo.repo_id}"


def _settings(request: Request) -> Any:
    repo, content = request.repo, request.json()
    if "visibility" in content:
        repo.private = content["visibility"] == "private"
    repo.gated = content.get("gated", repo.gated)
    return {}


def _repo_info(request: Request) -> Any:
    repo = request.repo
    commit = request.commit or repo.head
    siblings = [{"rfilename": path} for path in sorted(commit.files)]
    if request.flag("blobs"):
        entries = [_describe(path, file) for path, file in sorted(commit.files.items())]
        siblings = [{"rfilename": entry["path"], "blobId": entry["oid"], **entry} for entry in entries]
    try:
        card_data = _front_matter(repo.read("README.md", commit.sha).decode()) if "README.md" in commit.files else None
    except yaml.YAMLError:
        card_data = None
    info = {"id": repo.repo_id, "author": repo.repo_id.split("/")[0], "sha": commit.sha, "private": repo.private}
    info |= {"gated": repo.gated, "disabled": False, "tags": [], "downloads": 0, "likes": 0, "siblings": siblings}
    return info | {"createdAt": repo.history()[-1].date, "lastModified": commit.date, "cardData": card_data}


def _front_matter(card: str) -> Any:
    """The metadata of a card, `None` if it has none."""
    block = re.match(r"---\r?\n(.*?)^---\s*$", card, re.DOTALL | re.MULTILINE)
    return yaml.safe_load(block[1]) if block else None


def _validate_yaml(request: Request) -> Any:
    errors, warnings = [], []
    try:
        metadata = _front_matter(request.json()["content"])
        if metadata is None:
            warnings.append({"message": "empty or missing yaml metadata in repo card"})
        elif not isinstance(metadata, dict):
            errors.append({"message": "the metadata must be a mapping"})
    except yaml.YAMLError as error:
        errors.append({"message": str(error)})
    return _json({"errors": errors, "warnings": warnings}, 400 if errors else 200)


def _list_refs(request: Request) -> Any:
    found: dict[str, list[dict[str, str]]] = {"heads": [], "tags": [], "pr": []}
    for ref, sha in request.repo.refs.items():
        _, kind, name = ref.split("/", 2)
        found[kind].append({"name": ref if kind == "pr" else name, "ref": ref, "targetCommit": sha})
    return {"branches": found["heads"], "tags": found["tags"], "converts": [], "pullRequests": found["pr"]}


def _create_ref(request: Request) -> Any:
    repo, content, name = request.repo, request.json(), request.params["name"]
    if request.params["kind"] == "branch":
        ref, start = f"refs/heads/{name}", content.get("startingPoint", "main")
    else:
        ref, start = f"refs/tags/{content['tag']}", name
    if ref in repo.refs:
        raise HubError(409, f"Reference already exists: {ref}")
    repo.refs[ref] = repo.at(start).sha
    return {}


def _delete_ref(request: Request) -> Any:
    ref = f"refs/{'heads' if request.params['kind'] == 'branch' else 'tags'}/{request.params['name']}"
    if ref not in request.repo.refs:
        raise HubError(404, f"No such reference: {ref}", "RevisionNotFound")
    if ref == MAIN:
        raise HubError(403, "Cannot delete the main branch")
    del request.repo.refs[ref]
    return {}


def _list_commits(request: Request) -> Any:
    return [
        {
            "id": commit.sha,
            "title": commit.title,
            "message": "",
            "date": commit.date,
            "authors": [{"user": commit.author}],
        }
        for commit in request.repo.history(request.commit.sha)
    ]


def _describe(path: str, file: StoredFile | None) -> dict[str, Any]:
    """An entry of a listing; `None` stands for a folder."""
    if file is None:
        return {"type": "directory", "path": path, "oid": _git_oid(path.encode()), "size": 0}
    entry = {"type": "file", "path": path, "oid": file.oid, "size": file.size}
    if file.sha256:
        pointer_size = len(_lfs_pointer(file.sha256, file.size))
        # The listing of files names the hash `oid`, the repository info `sha256`.
        entry["lfs"] = {"oid": file.sha256, "sha256": file.sha256, "size": file.size, "pointerSize": pointer_size}
    return entry


def _tree(request: Request) -> Any:
    folder = request.params.get("path", "")
    prefix = folder + "/" if folder else ""
    found: dict[str, StoredFile | None] = {}
    for path, file in request.commit.files.items():
        if path.startswith(prefix):
            parts = path.removeprefix(prefix).split("/")
            for depth in range(1, len(parts) + 1 if request.flag("recursive") else 2):
                found[prefix + "/".join(parts[:depth])] = file if depth == len(parts) else None
    if folder and not found:
        raise HubError(404, f"{folder} does not exist on {request.params['rev']}", "EntryNotFound")
    return [_describe(path, file) for path, file in sorted(found.items())]


def _paths_info(request: Request) -> Any:
    paths, commit = parse_qs(request.body.decode()).get("paths", []), request.commit
    return [_describe(path, commit.files.get(path)) for path in paths if commit.under(path)]


def _resolve(request: Request) -> Answer:
    file = request.commit.files.get(request.params["path"])
    headers = {"X-Repo-Commit": request.commit.sha}
    if file is None:
        raise HubError(404, "Entry not found", "EntryNotFound", headers)
    headers |= {"ETag": f'"{file.key}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    if file.sha256:
        headers |= {"X-Linked-Etag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
    data = request.repo.blobs[file.key]
    wanted = re.fullmatch(r"bytes=(\d+)-(\d*)|bytes=-(\d+)", request.headers.get("Range", ""))
    if not wanted:
        return Answer(200, data, headers)
    first, last, tail = wanted.groups()
    start = int(first) if first else max(0, len(data) - int(tail))
    stop = min(len(data), int(last) + 1) if last else len(data)
    if start >= stop:
        return Answer(416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    return Answer(206, data[start:stop], {**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})


def _preupload(request: Request) -> Any:
    present, files = request.commit.files, []
    for file in request.json()["files"]:
        path = file["path"]
        lfs = _goes_to_lfs(path, file["size"], base64.b64decode(file["sample"]))
        # By the hash of the file that is there, the client leaves unchanged files out of its commit.
        known = {"oid": present[path].key} if path in present else {}
        files.append({"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False, **known})
    return {"files": files}


def _lfs_batch(request: Request) -> Any:
    repo, objects = request.repo, []
    for wanted in request.json()["objects"]:
        href = f"{request.hub.url}/lfs/{repo.repo_type}s/{repo.repo_id}/{wanted['oid']}"
        actions = {"upload": {"href": href, "header": {}}, "verify": {"href": f"{href}/verify", "header": {}}}
        # Without actions the object is here already and is not sent.
        stored = wanted["oid"] in repo.blobs
        objects.append({"oid": wanted["oid"], "size": wanted["size"], **({} if stored else {"actions": actions})})
    return {"transfer": "basic", "objects": objects}


def _lfs_put(request: Request) -> Answer:
    if hashlib.sha256(request.body).hexdigest() != request.params["oid"]:
        raise HubError(400, f"The content does not have the sha256 {request.params['oid']}")
    request.repo.store(request.body, lfs=True)
    return Answer()


def _lfs_verify(request: Request) -> Any:
    content = request.json()
    if len(request.repo.blobs.get(content["oid"], b"")) != content["size"]:
        raise HubError(404, f"No object {content['oid']} of {content['size']} bytes")
    return {}


def _commit(request: Request) -> Any:
    repo, parent, revision = request.repo, request.commit, request.params["rev"]
    header: dict[str, Any] = {}
    changes: dict[str, StoredFile | None] = {}
    for line in map(json.loads, request.body.splitlines()):
        value = line["value"]
        if line["key"] == "header":
            header = value
        elif line["key"] == "file":
            changes[value["path"]] = repo.store(base64.b64decode(value["content"]), lfs=False)
        elif line["key"] == "lfsFile":
            if value["oid"] not in repo.blobs:
                raise HubError(400, f"LFS object {value['oid']} of {value['path']} was never uploaded")
            changes[value["path"]] = repo.store(repo.blobs[value["oid"]], lfs=True)
        else:
            gone = parent.under(value["path"].rstrip("/"))
            if not gone or (line["key"] == "deletedFile" and value["path"] not in gone):
                raise HubError(404, f"A file with this name doesn't exist: {value['path']}", "EntryNotFound")
            # A file that the same commit brings again stays.
            changes = dict.fromkeys(gone) | changes
    if header.get("parentCommit") not in (None, parent.sha):
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    ref, urls = revision if revision in repo.refs else f"refs/heads/{revision}", {}
    if request.flag("create_pr"):
        number = 1 + sum(name.startswith("refs/pr/") for name in repo.refs)
        ref, urls = f"refs/pr/{number}", {"pullRequestUrl": f"{_page(request, repo)}/discussions/{number}"}
    elif ref not in repo.refs:
        raise HubError(400, f"{revision} is not a branch; commits need one")
    sha = repo.commit(changes, header["summary"], request.account.name, ref, parent.sha)
    return {"success": True, "commitOid": sha, "commitUrl": f"{_page(request, repo)}/commit/{sha}", **urls}


# --- Routes and HTTP -------------------------------------------------------------------------------------------------

_NAME = r"(?P<id>[^/]+(?:/[^/]+)?)"
_REPO = rf"/api/(?P<type>models|datasets|spaces)/{_NAME}"
_REV = r"(?P<rev>[^/]+)"
_REF = r"(?P<kind>branch|tag)/(?P<name>[^/]+)"
_FILES = rf"/(?:(?P<type>datasets|spaces)/)?{_NAME}"
_OBJECT = rf"/lfs/(?P<type>models|datasets|spaces)/{_NAME}/(?P<oid>[0-9a-f]{{64}})"

# Method, path, needed access to the repository, handler. Method and path are regular expressions for the whole text;
# the first match serves the request. "address": the address is the permission, as on S3; the client sends no token.
ROUTES: list[tuple[str, str, str | None, Callable[[Request], Any]]] = [
    ("GET", r"/api/whoami-v2", None, _whoami),
    ("POST", r"/api/validate-yaml", None, _validate_yaml),
    ("POST", r"/api/repos/create", None, _create_repo),
    ("DELETE", r"/api/repos/delete", None, _delete_repo),
    ("GET", _REPO, "see", _repo_info),
    ("GET", rf"{_REPO}/revision/{_REV}", "see", _repo_info),
    ("PUT", rf"{_REPO}/settings", "write", _settings),
    ("GET", rf"{_REPO}/auth-check", "download", lambda request: {}),
    ("GET", rf"{_REPO}/auth-check/write", "write", lambda request: {}),
    ("GET", rf"{_REPO}/refs", "see", _list_refs),
    ("POST", rf"{_REPO}/{_REF}", "write", _create_ref),
    ("DELETE", rf"{_REPO}/{_REF}", "write", _delete_ref),
    ("GET", rf"{_REPO}/commits/{_REV}", "see", _list_commits),
    ("GET", rf"{_REPO}/tree/{_REV}(?:/(?P<path>.+))?", "see", _tree),
    ("POST", rf"{_REPO}/paths-info/{_REV}", "see", _paths_info),
    ("POST", rf"{_REPO}/preupload/{_REV}", "write", _preupload),
    ("POST", rf"{_REPO}/commit/{_REV}", "write", _commit),
    ("POST", rf"{_FILES}\.git/info/lfs/objects/batch", "write", _lfs_batch),
    ("PUT", _OBJECT, "address", _lfs_put),
    ("POST", rf"{_OBJECT}/verify", "write", _lfs_verify),
    ("GET|HEAD", rf"{_FILES}/resolve/{_REV}/(?P<path>.+)", "download", _resolve),
]


class _Server(ThreadingHTTPServer):
    # The clients open many connections at once; a refused one would wait a second for its retry.
    request_queue_size = 128

    def __init__(self, hub: LoopbackHub):
        self.hub = hub
        super().__init__(("127.0.0.1", 0), _Connection)

    def server_bind(self) -> None:
        # HTTPServer.server_bind asks the resolver for the name of the host, which can take seconds.
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that went away (OSError) is what many tests are about.
        if not isinstance(sys.exception(), OSError):
            self.hub.problems.append(traceback.format_exc())


class _Connection(BaseHTTPRequestHandler):
    """Reads requests, applies faults, writes the log and the answers."""

    protocol_version = "HTTP/1.1"
    # Head and body are two packets; Nagle's algorithm would hold the second one back.
    disable_nagle_algorithm = True

    def serve(self) -> None:
        hub: LoopbackHub = self.server.hub
        assert "Transfer-Encoding" not in self.headers, "chunked request bodies are not supported"
        url, length = urlsplit(self.path), int(self.headers.get("Content-Length", 0))
        fault = hub.fault_for(self.command, unquote(url.path))
        # The whole body is read even if the answer is an error: a rest would be taken for the next request.
        body = self.rfile.read({"unread": 0, "half_read": length // 2}.get(fault.drop, length))
        request = Request(hub, self.command, url.path, parse_qs(url.query), self.headers, body)
        answer = None
        if fault.drop not in ("unread", "half_read") and len(body) == length:
            fault.before()
            if fault.status:
                answer = _json({"error": "a planned fault"}, fault.status, fault.headers)
            else:
                answer = hub.answer(request)
            fault.after()
        if fault.drop == "unanswered":
            answer = None
        content = answer.body if answer and self.command != "HEAD" else b""
        if fault.drop == "half_answered":
            content = content[: len(content) // 2]
        request.status, request.sent = answer and answer.status, len(content)
        # The log comes first: with the answer in hand, the client's test may look at it.
        hub.log.append(request)
        if answer:
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": str(len(answer.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        if not answer or fault.drop:
            self._hang_up(fault.reset, length - len(body))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = serve

    def _hang_up(self, reset: bool, unread: int) -> None:
        self.close_connection = True
        if reset:
            # Linger 0 turns the close into a reset. It must be this close: the server's own sends a clean end first.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()
        else:
            # Closing with unread input would be a reset as well, so the rest is read and thrown away.
            self.connection.shutdown(socket.SHUT_WR)
            self.rfile.read(unread)

    def log_message(self, format: str, *args: Any) -> None:
        pass
