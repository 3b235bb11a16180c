"""The one safe upload: listed files only, private first, retried, verified, and public only at the very end.

What `push` promises:
- Nothing is sent before the gate has passed (`gate.py`), and only files that are allowed for their kind.
- A new repository is private. One that exists must be private too and hold nothing but an earlier push. It stays
  private until every checksum agrees and (for a release) every record that loads back is the one in the folder.
- A public repository is written to only by a public push, in one commit, and only after a private twin beside it
  (`<name>-twin`, which stays) has been filled and verified in the same way. Pushing again what it already holds only
  verifies it.
- An interrupted push is continued by pushing again: files that have arrived are not sent twice.
"""

import itertools
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import validate_repo_id

from hf_hybrid.core import artifacts
from hf_hybrid.core.artifacts import CARD, HUB_FILE, PROVENANCE
from hf_hybrid.core.errors import InputError, PushFailed
from hf_hybrid.hub import gate
from hf_hybrid.hub.calls import one_line_errors, retried, status_of

BATCH_RECORDS = 64
_TWIN = "-twin"


@dataclass(frozen=True)
class PushResult:
    """The result of a push.

    Args:
        kind: `codec`, `pipeline` or `release`.
        repo_id: name of the repository.
        repo_type: `model` or `dataset`.
        url: its page.
        files: what the repository holds of the folder (after a dry run: would hold).
        left_out: files of the folder that are not allowed for its kind and were not sent.
        public: whether everyone can see the repository.
        uploaded: False after a dry run.
    """

    kind: str
    repo_id: str
    repo_type: str
    url: str
    files: list[str]
    left_out: list[str]
    public: bool
    uploaded: bool


def push(
    folder: str | Path,
    repo_id: str,
    public: bool = False,
    gated: bool | None = None,
    dry_run: bool = False,
    token: str | None = None,
    license: str | None = None,
    accept_risk: str | None = None,
) -> PushResult:
    """Uploads a codec, a pipeline or a release, recognised by its files.

    Args:
        folder: what to upload.
        repo_id: `namespace/name`.
        public: make the repository public once everything is verified.
        gated: readers ask for access, and the owner grants it by hand (`gated="manual"`); required for a public push.
        dry_run: the gate only; needs neither token nor network.
        token: of the Hub; the one of the environment or of `hf auth login` by default.
        license: for a dry run, see `gate.check`; for any other push, `publication.state` writes it into the card.
        accept_risk: likewise.

    Raises:
        InputError: the folder, the name, the token or the state of the repository does not allow a push, or a public
            push does not set `gated`.
        PushRefused: the gate refuses the folder; there is no override.
        PushFailed: the Hub did not answer as expected, or does not hold what was sent.
    """
    _check_request(repo_id, public, gated)
    parcel = gate.check(folder, public, *((license, accept_risk) if dry_run else ()))
    upload = _Upload(HfApi(token=token), parcel, {"repo_id": repo_id, "repo_type": parcel.kind.repo_type})
    if not dry_run:
        _check_connection(token)
        upload.run(public, gated)
    return upload.result(public=public and not dry_run, uploaded=not dry_run)


def _check_request(repo_id: str, public: bool, gated: bool | None) -> None:
    """Checks what can be checked before the folder is read."""
    try:
        validate_repo_id(repo_id)
        is_full = "/" in repo_id
    except HFValidationError:
        is_full = False
    if not is_full:
        raise InputError(f"expected `repo_id` as namespace/name, found {repo_id!r}: give both")
    if public and gated is None:
        raise InputError(
            "expected `--gated true` (readers ask, you decide) or `--gated false` (everyone at once) beside "
            "`--public`, found neither: downloads cannot be undone"
        )


def _check_connection(token: str | None) -> None:
    """Checks that the Hub may be called, and that there is a token for it."""
    if constants.is_offline_mode():
        raise InputError("expected a connection to the Hub, found `HF_HUB_OFFLINE` set: unset it")
    if not (token or get_token()):
        raise InputError("expected a token of the Hub, found none: run `hf auth login` or set `HF_TOKEN`")


@dataclass(frozen=True)
class _Upload:
    """The upload of one parcel to one repository; `repo` holds the arguments `repo_id` and `repo_type`."""

    api: HfApi
    parcel: gate.Parcel
    repo: dict

    def run(self, public: bool, gated: bool | None) -> None:
        """All steps: fill, verify, and only then make public."""
        with one_line_errors(self.repo["repo_id"]):
            was_private = self.open(public)
            if was_private:
                self.send()
            else:
                self._replace_public(gated)
            self.settle(self.verify(), public, was_private, gated)

    def _replace_public(self, gated: bool | None) -> None:
        """Updates a public repository, once a private twin has been filled and verified; no-op if it is up to date."""
        seen = retried(self.api.repo_info, **self.repo).sha
        if self.is_there():
            return
        twin = replace(self, repo={**self.repo, "repo_id": f"{self.repo['repo_id']}{_TWIN}"})
        twin.open(public=False)
        twin.send()
        twin.verify()
        self.update(seen, gated)

    def result(self, public: bool, uploaded: bool) -> PushResult:
        """What `push` returns."""
        kind, is_dataset = self.parcel.kind, self.parcel.kind.repo_type == "dataset"
        return PushResult(
            kind=kind.name,
            **self.repo,
            url=f"{self.api.endpoint}/{'datasets/' if is_dataset else ''}{self.repo['repo_id']}",
            files=self.parcel.files,
            left_out=self.parcel.left_out,
            public=public,
            uploaded=uploaded,
        )

    def open(self, public: bool) -> bool:
        """Makes a private repository or checks the one there; False if it is public and may be."""
        repo_id, kind = self.repo["repo_id"], self.parcel.kind
        try:
            info = retried(self.api.repo_info, **self.repo)
        except RepositoryNotFoundError:
            retried(self.api.create_repo, **self.repo, private=True, exist_ok=True)
            info = retried(self.api.repo_info, **self.repo)
        names = {sibling.rfilename for sibling in info.siblings} - {HUB_FILE}
        if info.private is not True and not public:
            raise InputError(
                f"expected `{repo_id}` to be private or not there yet, found it public: add `--public` to update it, "
                "or choose another `repo_id`"
            )
        foreign = sorted(name for name in names if not kind.allowed.fullmatch(name))
        if foreign or (names and PROVENANCE not in names):
            raise InputError(
                f"expected `{repo_id}` to be empty or to hold an earlier {kind.name}, found "
                f"{', '.join(foreign) or f'files but no {PROVENANCE}'}: choose another `repo_id`"
            )
        if info.private is not True and not names:
            raise InputError(
                f"expected `{repo_id}` to be private or to hold an earlier {kind.name}, found it public and empty: "
                "choose another `repo_id`, or make it private on its settings page"
            )
        return info.private is True

    def is_there(self) -> bool:
        """Whether the Hub holds the files of the folder and no others, byte for byte."""
        found = retried(self.api.verify_repo_checksums, **self.repo, local_dir=self.parcel.folder)
        names = set(retried(self.api.list_repo_files, **self.repo)) - {HUB_FILE}
        return names == set(self.parcel.files) and not found.mismatches

    def update(self, seen: str, gated: bool) -> None:
        """Replaces what is public at `seen` in one commit: readers see the earlier release or this one."""
        if gated:  # before there is something new to read
            retried(self.api.update_repo_settings, **self.repo, gated="manual")
        try:
            retried(self._commit, message="Update", names=self.parcel.files, parent=seen)
        except HfHubHTTPError as error:
            # Another push came first, or the answer to this one was lost.
            if status_of(error) != 412 or not self.is_there():
                raise

    def send(self) -> None:
        """Data or weights first, then what describes them, the card last of all."""
        # Provenance comes with the data: by it the next push recognises the repository as one that a push made.
        first = [n for n in self.parcel.files if n.endswith((".parquet", ".safetensors")) or n == PROVENANCE]
        then = [name for name in self.parcel.files if name not in first]
        retried(self._commit, message="Add data", names=first)
        retried(self._commit, message="Add card", names=sorted(then, key=lambda name: name == CARD))

    def _commit(self, message: str, names: list[str], parent: str | None = None) -> None:
        # The client writes into the operations: an attempt after a failed one needs new ones.
        operations = [CommitOperationAdd(name, self.parcel.folder / name) for name in names]
        for name in self.api.list_repo_files(**self.repo):
            if self.parcel.kind.allowed.fullmatch(name) and name not in self.parcel.files:
                operations.append(CommitOperationDelete(name))  # of an earlier push, such as its last shards
        self.api.create_commit(**self.repo, operations=operations, commit_message=message, parent_commit=parent)

    def verify(self) -> str:
        """Checks that the Hub holds the folder's files, byte for byte, and returns the revision that does."""
        revision = retried(self.api.repo_info, **self.repo).sha
        found = retried(self.api.verify_repo_checksums, **self.repo, revision=revision, local_dir=self.parcel.folder)
        wrong = {mismatch["path"] for mismatch in found.mismatches}
        wrong |= set(found.extra_paths) & set(self.parcel.files)
        wrong |= set(found.missing_paths) - {HUB_FILE}
        if wrong:
            self._fail(f"does not hold the files of {self.parcel.folder}: {', '.join(sorted(wrong))} differ")
        if self.parcel.kind is artifacts.RELEASE:
            self._compare_records(revision)
        return revision

    def _compare_records(self, revision: str) -> None:
        """Streams the release from the Hub and from the folder side by side; memory does not grow with its size."""
        from datasets import load_dataset

        with tempfile.TemporaryDirectory() as cache:  # made with mode 0700
            options = {"split": "train", "streaming": True, "cache_dir": cache}
            try:
                here = load_dataset(str(self.parcel.folder), **options)
                there = load_dataset(self.repo["repo_id"], revision=revision, token=self.api.token, **options)
                same = here.features == there.features
                num_records = 0
                batches = [data.with_format("arrow").iter(BATCH_RECORDS) for data in (here, there)]
                for one, other in itertools.zip_longest(*batches):
                    same = same and one is not None and other is not None and one.equals(other)
                    num_records += len(one or ())
                same = same and num_records == here.info.splits["train"].num_examples
            except Exception as error:  # a damaged file can raise any error
                self._fail(f"could not be loaded back ({type(error).__name__})")
        if not same:
            self._fail(f"loads other records than {self.parcel.folder} and its card describe")

    def settle(self, revision: str, public: bool, was_private: bool, gated: bool) -> None:
        """Sets gate and visibility in one request, if `revision` still is all that the repository holds."""
        settings = {"gated": "manual"} if gated else {}
        if public and was_private:
            if retried(self.api.repo_info, **self.repo).sha != revision:
                self._fail("was changed by somebody else during the push")
            self._check_history(revision)
            settings["private"] = False
        if settings:
            retried(self.api.update_repo_settings, **self.repo, **settings)
        if retried(self.api.repo_info, **self.repo).private is public:
            self._fail("does not have the visibility that was asked for, see its settings page")

    def _check_history(self, revision: str) -> None:
        """A public repository shows its history too: it may hold nothing but the files of `revision`."""
        refs = retried(self.api.list_repo_refs, **self.repo, include_pull_requests=True)
        heads = {ref.target_commit for ref in (*refs.branches, *refs.tags, *(refs.pull_requests or ()))}
        histories = [retried(self.api.list_repo_commits, **self.repo, revision=head) for head in heads]
        published = self._files_at(revision)
        commits = {commit.commit_id for history in histories for commit in history}
        earlier = sorted({path for commit in commits for path, _ in self._files_at(commit) - published})
        if earlier:
            raise InputError(
                f"expected a history of `{self.repo['repo_id']}` with this {self.parcel.kind.name} only, found other "
                f"versions of {', '.join(earlier)} that would become public: delete the repository and push again"
            )

    def _files_at(self, revision: str) -> set[tuple[str, str]]:
        tree = retried(lambda: list(self.api.list_repo_tree(**self.repo, revision=revision, recursive=True)))
        return {(file.path, file.blob_id) for file in tree if isinstance(file, RepoFile) and file.path != HUB_FILE}

    def _fail(self, what: str) -> None:
        raise PushFailed(f"`{self.repo['repo_id']}` {what}: this push did not make it public; push again")
