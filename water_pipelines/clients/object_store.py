"""Objects by key, in a local folder or behind any S3 API: one interface, so that no caller knows which.

A key is a relative path with `/` between its parts; spaces and Unicode are welcome. Parts that begin with a dot and names that
programs give to unfinished files (`.part`, `.tmp`, ...) are never listed and cannot be put. Add an operation to `ObjectStore` and to
both stores, with a test in the class that runs on both. Keep out: what objects mean (`inbox/`, `landed/`), and building S3 clients.
"""

import errno
import hashlib
import io
import logging
import os
import random
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar, cast
from urllib.parse import quote

if TYPE_CHECKING:
    from typing_extensions import Buffer

CHUNK = 1 << 20
UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".tmp", ".swp", "~")

_READ_AHEAD = 4 << 20  # bytes a ranged read asks for at least
_PART = 64 << 20  # larger bodies go up in parts of this size
_IN_MEMORY = 16 << 20
_ABANDONED_S = 86_400
_ATTEMPTS = 4
_FIRST_PAUSE_S = 0.2

log = logging.getLogger(__name__)
T = TypeVar("T")


class StoreError(Exception):
    """Something is wrong with an object or with the store."""


class InvalidKey(StoreError):
    """A key that is no relative path, leaves the root, or would never be listed."""


class ObjectMissing(StoreError):
    """There is no object with that key."""


class ObjectExists(StoreError):
    """The object was to be put only where none is, and there is one."""


class ObjectChanged(StoreError):
    """The object changed while it was read, or since it was listed; leave it alone and look again later."""


class StoreUnavailable(StoreError):
    """The store cannot be used; `retryable` says whether trying again later may help."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True)
class ObjectInfo:
    """One object as a listing shows it.

    Attributes
    ----------
    key : str
    bytes : int
    modified_at : datetime
        Last write (UTC).
    etag : str
        Differs when the content may differ; only comparable within one store.
    whole : bool
        True when the object is known to be complete: an S3 object always, a local file when it was put by a store (read-only, and its last
        change was not a write). False says nothing: compare two listings.
    """

    key: str
    bytes: int
    modified_at: datetime
    etag: str
    whole: bool


@dataclass(frozen=True)
class Copied:
    """An object that was copied while its content was hashed."""

    key: str
    sha256: str
    bytes: int
    source: ObjectInfo


class ObjectStore(Protocol):
    """What every store can do. Every operation may raise `InvalidKey` and `StoreUnavailable`."""

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        """Objects whose key begins with `prefix`, in the order of their keys (as UTF-8 bytes), after `start_after`; lazily."""
        ...

    def info(self, key: str) -> ObjectInfo:
        """One object as a listing shows it; `ObjectMissing` when there is none."""
        ...

    def exists(self, key: str) -> bool:
        """Whether there is an object with that key."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A seekable binary stream over an object, to be closed by the caller; `ObjectMissing`. Reading over a change raises `ObjectChanged` (S3)."""
        ...

    def read(self, key: str) -> bytes:
        """The whole content; `ObjectMissing`."""
        ...

    def put(self, key: str, data: bytes | BinaryIO, if_absent: bool = False) -> ObjectInfo:
        """Store an object, whole and durable or not at all; with `if_absent`, `ObjectExists` where one is."""
        ...

    def move_into(self, source_key: str, target_key: str) -> Copied:
        """Copy an object to a place where it never changes, hashing it on the way; `{sha256}` in `target_key` becomes its hash.

        The source stays: delete it with `unless_changed=copied.source` when everything that must outlive it is stored. Raises
        `ObjectMissing`, `ObjectChanged` (it was written meanwhile; nothing is left of the copy) and `ObjectExists` (the target).
        """
        ...

    def delete(self, key: str, unless_changed: ObjectInfo | None = None) -> None:
        """Remove an object; none is fine. With `unless_changed`, `ObjectChanged` where the object is not the one that was seen."""
        ...

    def free_bytes(self) -> int | None:
        """Room that is left; None where the store has no such limit."""
        ...

    def presigned(self, key: str, name: str, seconds: int) -> str | None:
        """A URL from which anybody may download this object, as a file of that name, for so long; None where the store gives none."""
        ...


def is_hidden(key: str) -> bool:
    """Whether a key is of an unfinished or private file, which no store lists.

    >>> is_hidden("inbox/.river.csv.x7Fq"), is_hidden("inbox/river.csv.part"), is_hidden("inbox/river.csv")
    (True, True, False)
    """
    return any(part.startswith(".") for part in key.split("/")) or key.lower().endswith(UNFINISHED)


def check_key(key: str) -> str:
    """The key itself, or `InvalidKey`."""
    try:
        encoded = key.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidKey(f"{key!r} is not valid Unicode; rename the file") from None
    parts = key.split("/")
    if "" in parts or "." in parts or ".." in parts or "\0" in key:
        raise InvalidKey(f"{key!r} is no relative path inside the store")
    if len(encoded) > 1024 or any(len(part.encode()) > 255 for part in parts):
        raise InvalidKey(f"{key!r} is longer than 1024 bytes, or one of its parts than 255")
    if is_hidden(key):
        raise InvalidKey(f"{key!r} has the name of an unfinished or private file, which is never listed; rename it")
    return key


class LocalStore:
    """Objects as files below a folder, which is made by the first `put`.

    Links are neither listed nor followed, whoever may write into the folder: every part of a path is opened on its own. A put writes a hidden
    file, makes it durable and read-only, and gives it its name in one step.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def __repr__(self) -> str:
        return f"LocalStore({self.root})"

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        """See `ObjectStore.list`."""
        folder = prefix.rpartition("/")[0]
        if folder:
            check_key(folder)
        return self._walk(f"{folder}/" if folder else "", prefix, start_after or "")

    def info(self, key: str) -> ObjectInfo:
        """See `ObjectStore.info`."""
        with self._explained(key), self._folder_of(key) as (folder, name):
            return _local_info(key, os.stat(name, dir_fd=folder, follow_symlinks=False))

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        try:
            self.info(key)
        except ObjectMissing:
            return False
        return True

    def open(self, key: str) -> BinaryIO:
        """See `ObjectStore.open`."""
        with self._explained(key), self._folder_of(key) as (folder, name):
            # not blocking: else a named pipe in the inbox would hold us for ever
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            try:
                _local_info(key, os.fstat(descriptor))
            except BaseException:
                os.close(descriptor)
                raise
            return os.fdopen(descriptor, "rb", buffering=CHUNK)

    def read(self, key: str) -> bytes:
        """See `ObjectStore.read`."""
        with self.open(key) as stream:
            return stream.read()

    def put(self, key: str, data: bytes | BinaryIO, if_absent: bool = False) -> ObjectInfo:
        """See `ObjectStore.put`."""
        with self._unfinished() as (scratch, file):
            for chunk in _chunks(data):
                file.write(chunk)
            return self._publish(scratch, file, check_key(key), if_absent)

    def move_into(self, source_key: str, target_key: str) -> Copied:
        """See `ObjectStore.move_into`."""
        check_key(target_key)
        digest = hashlib.sha256()
        with self.open(source_key) as source, self._unfinished() as (scratch, file):
            before = _local_info(source_key, os.fstat(source.fileno()))
            for chunk in _chunks(source):
                digest.update(chunk)
                file.write(chunk)
            if file.tell() != before.bytes or self._changed(source_key, before):
                raise ObjectChanged(f"{source_key} was written while it was copied")
            target = target_key.replace("{sha256}", digest.hexdigest())
            published = self._publish(scratch, file, target, if_absent=True)
        return Copied(target, digest.hexdigest(), published.bytes, before)

    def delete(self, key: str, unless_changed: ObjectInfo | None = None) -> None:
        """See `ObjectStore.delete`."""
        try:
            with self._explained(key), self._folder_of(key) as (folder, name):
                now = _local_info(key, os.stat(name, dir_fd=folder, follow_symlinks=False))
                if unless_changed is not None and now.etag != unless_changed.etag:
                    raise ObjectChanged(f"{key} was written since it was listed")
                os.unlink(name, dir_fd=folder)
                os.fsync(folder)
        except ObjectMissing:
            return

    def free_bytes(self) -> int | None:
        """See `ObjectStore.free_bytes`."""
        existing = next(folder for folder in (self.root, *self.root.parents) if folder.exists())
        return shutil.disk_usage(existing).free

    def presigned(self, key: str, name: str, seconds: int) -> str | None:
        """See `ObjectStore.presigned`."""
        return None

    def _changed(self, key: str, before: ObjectInfo) -> bool:
        try:
            return self.info(key).etag != before.etag
        except ObjectMissing:
            return True

    def _walk(self, folder: str, prefix: str, start_after: str) -> Iterator[ObjectInfo]:
        with self._explained(folder):
            try:
                with self._opened(folder.rstrip("/")) as descriptor, os.scandir(descriptor) as entries:
                    found = sorted((f"{entry.name}/" if entry.is_dir(follow_symlinks=False) else entry.name for entry in entries), key=os.fsencode)
            except (FileNotFoundError, NotADirectoryError):
                return  # a listing of what is not there is empty
        for name in found:
            key = folder + name
            is_passed = key <= start_after and not (name.endswith("/") and start_after.startswith(key))
            if is_passed or is_hidden(key.rstrip("/")) or not (key.startswith(prefix) or prefix.startswith(key)):
                continue
            try:
                key.encode("utf-8")
            except UnicodeEncodeError:
                log.warning("%r in the object store is not named in UTF-8 and is left alone; rename it", os.fsencode(key))
                continue
            if name.endswith("/"):
                yield from self._walk(key, prefix, start_after)
            else:
                try:
                    yield self.info(key)
                except (ObjectMissing, InvalidKey):
                    continue  # gone since the folder was read, or no regular file

    @contextmanager
    def _opened(self, folder: str, create: bool = False) -> Iterator[int]:
        """A descriptor of a folder below the root, reached without following a link."""
        if create:
            self.root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in folder.split("/") if folder else ():
                if create:
                    try:
                        os.mkdir(part, dir_fd=descriptor)
                        os.fsync(descriptor)
                    except FileExistsError:
                        if not stat.S_ISDIR(os.stat(part, dir_fd=descriptor, follow_symlinks=False).st_mode):
                            raise InvalidKey(f"{folder} cannot be a folder in {self.root}: {part} is an object or a link") from None
                inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _folder_of(self, key: str, create: bool = False) -> Iterator[tuple[int, str]]:
        folder, _, name = check_key(key).rpartition("/")
        with self._opened(folder, create) as descriptor:
            yield descriptor, name

    @contextmanager
    def _unfinished(self) -> Iterator[tuple[str, BinaryIO]]:
        """A hidden file in the root, removed at the end if it has not got a name by then. What killed processes left goes after a day."""
        scratch = f".{secrets.token_hex(12)}.tmp"
        with self._explained(scratch):
            self.root.mkdir(parents=True, exist_ok=True)
            for left in self.root.glob(".*.tmp"):
                with suppress(FileNotFoundError):  # another writer's, who has finished meanwhile
                    if time.time() - left.lstat().st_mtime > _ABANDONED_S:
                        left.unlink()
            try:
                with (self.root / scratch).open("xb", buffering=CHUNK) as file:
                    yield scratch, file
            finally:
                (self.root / scratch).unlink(missing_ok=True)

    def _publish(self, scratch: str, file: BinaryIO, key: str, if_absent: bool) -> ObjectInfo:
        file.flush()
        # read-only, and a time of writing that is not the time of the last change: how `whole` knows our files
        os.fchmod(file.fileno(), 0o444)
        written_ns = os.fstat(file.fileno()).st_mtime_ns // 1000 * 1000 - 1000
        os.utime(file.fileno(), ns=(written_ns, written_ns))
        os.fsync(file.fileno())
        with self._explained(key), self._folder_of(key, create=True) as (folder, name):
            source = self.root / scratch
            if if_absent:
                os.link(source, name, dst_dir_fd=folder)
                source.unlink()  # before the listing can see a second name
            else:
                os.replace(source, name, dst_dir_fd=folder)
            os.fsync(folder)
            return _local_info(key, os.fstat(file.fileno()))

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """Our own errors in place of the operating system's."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            if error.errno == errno.ENOTDIR and Path(self.root, key).parent.is_dir():
                raise InvalidKey(f"{key} leads through a link in {self.root}, which is not followed") from error
            raise ObjectMissing(f"{key} is not in {self.root}") from error
        except FileExistsError as error:
            raise ObjectExists(f"{key} is in {self.root} already") from error
        except IsADirectoryError as error:
            raise InvalidKey(f"{key} is a folder in {self.root}") from error
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise InvalidKey(f"{key} leads through a link in {self.root}, which is not followed") from error
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreUnavailable(f"the disk of {self.root} is full; make room", retryable=False) from error
            retryable = error.errno in (errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EBUSY, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT)
            raise StoreUnavailable(f"{key} in {self.root}: {error.strerror}", retryable=retryable) from error


class S3Store:
    """Objects in a bucket of any S3 API, below a prefix.

    Parameters
    ----------
    client : boto3 S3 client
        Built, with its credentials and address, by the caller. Nothing is asked of it before the first operation.
    bucket, prefix : str
        Every key is below `prefix`, which is empty or ends in a slash.
    sleep : callable
        Waits for a number of seconds, between attempts.
    """

    def __init__(self, client: Any, bucket: str, prefix: str = "", *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"S3Store(s3://{self._bucket}/{self._prefix})"

    def list(self, prefix: str = "", start_after: str | None = None) -> Iterator[ObjectInfo]:
        """See `ObjectStore.list`."""
        more: dict[str, str] = {} if not start_after else {"StartAfter": self._prefix + start_after}
        while True:
            asked = {"Bucket": self._bucket, "Prefix": self._prefix + prefix, **more}
            page = self._call(prefix, lambda asked=asked: self._client.list_objects_v2(**asked))  # type: ignore[misc]
            for found in page.get("Contents", ()):
                key = found["Key"][len(self._prefix) :]
                if key and not key.endswith("/") and not is_hidden(key):
                    yield ObjectInfo(key, found["Size"], _to_the_second(found["LastModified"]), found["ETag"].strip('"'), whole=True)
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def info(self, key: str) -> ObjectInfo:
        """See `ObjectStore.info`."""
        head = self._call(key, lambda: self._client.head_object(**self._at(key)))
        return ObjectInfo(key, head["ContentLength"], _to_the_second(head["LastModified"]), head["ETag"].strip('"'), whole=True)

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        try:
            self.info(key)
        except ObjectMissing:
            return False
        return True

    def open(self, key: str) -> BinaryIO:
        """See `ObjectStore.open`."""
        return cast(BinaryIO, io.BufferedReader(_RangedReader(self, self.info(key)), _READ_AHEAD))

    def read(self, key: str) -> bytes:
        """See `ObjectStore.read`."""
        return self._call(key, lambda: bytes(self._client.get_object(**self._at(key))["Body"].read()))

    def put(self, key: str, data: bytes | BinaryIO, if_absent: bool = False) -> ObjectInfo:
        """See `ObjectStore.put`."""
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as body:  # what failed halfway is sent again from here
            for chunk in _chunks(data):
                body.write(chunk)
            if body.tell() <= _PART:
                body.seek(0)
                content = body.read()
                self._call(key, lambda: self._client.put_object(**self._at(key), Body=content, **condition))
            else:
                self._put_in_parts(key, cast(BinaryIO, body), condition)
        return self.info(key)

    def move_into(self, source_key: str, target_key: str) -> Copied:
        """See `ObjectStore.move_into`; the server copies what was hashed here, if it is still that."""
        check_key(target_key)
        before = self.info(source_key)
        digest = hashlib.sha256()
        with cast(BinaryIO, io.BufferedReader(_RangedReader(self, before), _READ_AHEAD)) as source:
            for chunk in _chunks(source):
                digest.update(chunk)
        target = target_key.replace("{sha256}", digest.hexdigest())
        if self.exists(target):
            raise ObjectExists(f"{target} is in {self!r} already")
        origin = self._at(source_key)
        self._call(
            source_key,
            lambda: self._client.copy(CopySource=origin, **self._at(target), ExtraArgs={"CopySourceIfMatch": f'"{before.etag}"'}),
            changed=True,
        )
        return Copied(target, digest.hexdigest(), before.bytes, before)

    def delete(self, key: str, unless_changed: ObjectInfo | None = None) -> None:
        """See `ObjectStore.delete`."""
        if unless_changed is not None:
            try:
                if self.info(key).etag != unless_changed.etag:
                    raise ObjectChanged(f"{key} was written since it was listed")
            except ObjectMissing:
                return
        self._call(key, lambda: self._client.delete_object(**self._at(key)))

    def free_bytes(self) -> int | None:
        """See `ObjectStore.free_bytes`."""
        return None

    def presigned(self, key: str, name: str, seconds: int) -> str | None:
        """See `ObjectStore.presigned`."""
        disposition = {"ResponseContentDisposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"}
        return str(self._client.generate_presigned_url("get_object", Params={**self._at(key), **disposition}, ExpiresIn=seconds))

    def read_range(self, info: ObjectInfo, start: int, end: int) -> bytes:
        """Bytes `start` to before `end` of exactly the object that was seen; `ObjectChanged` otherwise."""
        asked = {**self._at(info.key), "Range": f"bytes={start}-{end - 1}", "IfMatch": f'"{info.etag}"'}
        return self._call(info.key, lambda: bytes(self._client.get_object(**asked)["Body"].read()), changed=True)

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + check_key(key)}

    def _put_in_parts(self, key: str, body: BinaryIO, condition: dict[str, str]) -> None:
        at = self._at(key)
        upload = self._call(key, lambda: self._client.create_multipart_upload(**at))["UploadId"]
        try:
            parts: list[dict[str, Any]] = []
            body.seek(0)
            while content := body.read(_PART):
                asked = {**at, "UploadId": upload, "PartNumber": len(parts) + 1, "Body": content}
                sent = self._call(key, lambda asked=asked: self._client.upload_part(**asked))  # type: ignore[misc]
                parts.append({"PartNumber": len(parts) + 1, "ETag": sent["ETag"]})
            self._call(key, lambda: self._client.complete_multipart_upload(**at, UploadId=upload, MultipartUpload={"Parts": parts}, **condition))
        except BaseException:
            self._call(key, lambda: self._client.abort_multipart_upload(**at, UploadId=upload))
            raise

    def _call(self, key: str, operation: Callable[[], T], *, changed: bool = False) -> T:
        """Do something, again after growing pauses while the store is out of order, and name what went wrong.

        `changed` says what a failed condition means: that the object is another one, or that there is one already.
        """
        from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, IncompleteReadError

        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return operation()
            except ClientError as error:
                status, code = error.response["ResponseMetadata"].get("HTTPStatusCode", 0), error.response["Error"].get("Code", "")
                if code in ("NoSuchKey", "404", "NotFound"):
                    raise ObjectMissing(f"{key} is not in {self!r}") from error
                if status == 412 or code in ("PreconditionFailed", "ConditionalRequestConflict"):
                    raise (ObjectChanged(f"{key} was written meanwhile") if changed else ObjectExists(f"{key} is in {self!r} already")) from error
                refused = status < 500 and status != 429 and code not in ("SlowDown", "RequestTimeout", "Throttling", "RequestTimeTooSkewed")
                problem: Exception = error
            except (ConnectionError, HTTPClientError, IncompleteReadError) as error:  # no connection, or one that broke
                refused, problem = False, error
            except BotoCoreError as error:  # no credentials, wrong parameters
                refused, problem = True, error
            if refused or attempt == _ATTEMPTS:
                hint = "check the bucket, WATER_S3_ENDPOINT_URL and the AWS_* credentials" if refused else "is it running?"
                raise StoreUnavailable(f"{self!r}, {key}: {problem}; {hint}", retryable=not refused) from problem
            self._sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1))
        raise AssertionError("the last attempt returns or raises")


class _RangedReader(io.RawIOBase):
    """Random access to an S3 object by ranged reads, to be buffered; every range is of the same version of the object."""

    def __init__(self, store: S3Store, info: ObjectInfo) -> None:
        self._store = store
        self._info = info
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._info.bytes}[whence]
        if base + offset < 0:
            raise ValueError(f"negative position {base + offset}")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: "Buffer") -> int:
        view = memoryview(buffer).cast("B")
        content = self._take(len(view))
        view[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        return self._take(self._info.bytes)  # in one request, not in the small steps of the base class

    def _take(self, size: int) -> bytes:
        end = min(self._position + size, self._info.bytes)
        if end <= self._position:
            return b""
        content = self._store.read_range(self._info, self._position, end)
        self._position = end
        return content


class StoreSettings(Protocol):
    """The settings that say where the objects are."""

    @property
    def store_root(self) -> Path | None:
        """Root folder; None for a bucket."""
        ...

    @property
    def s3_bucket(self) -> str | None:
        """Bucket; None for a folder."""
        ...

    @property
    def s3_prefix(self) -> str:
        """Prefix of all keys in the bucket: empty, or ending in a slash."""
        ...


def store_from_settings(settings: StoreSettings, s3_client: Any = None) -> ObjectStore:
    """The store that the settings name; an S3 store needs the boto3 client that the caller built.

    Raises
    ------
    ValueError
        The settings name a bucket and there is no client.
    """
    if settings.store_root is not None:
        return LocalStore(settings.store_root)
    if s3_client is None or settings.s3_bucket is None:
        raise ValueError("WATER_STORE_URL names an S3 bucket, which needs an S3 client")
    return S3Store(s3_client, settings.s3_bucket, settings.s3_prefix)


def _chunks(data: bytes | BinaryIO) -> Iterator[bytes]:
    if isinstance(data, bytes):
        yield data
        return
    while chunk := data.read(CHUNK):
        yield chunk


def _to_the_second(time_: datetime) -> datetime:
    """A header of S3 has no fractions of a second, a listing may have them."""
    return time_.astimezone(UTC).replace(microsecond=0)


def _local_info(key: str, status: os.stat_result) -> ObjectInfo:
    if not stat.S_ISREG(status.st_mode):
        raise InvalidKey(f"{key} is no regular file but a link, a folder, a pipe or a device")
    whole = not status.st_mode & 0o222 and status.st_mtime_ns != status.st_ctime_ns
    modified_at = datetime.fromtimestamp(status.st_mtime_ns // 1000 / 1e6, UTC)
    return ObjectInfo(key, status.st_size, modified_at, f"{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ino:x}", whole)
