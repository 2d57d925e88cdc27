"""What is finished: known by a key of the input and of all that decides its explanation.

A finished explanation lies in a folder until its shard is sent, each in a file written whole; then
the shard's own list says so, on the Hub or in the folder that holds the shards. So whatever is
killed, no finished input is explained again.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
from PIL import Image

from proxyspex_hf.errors import InputError, ProxySpexError, SchemaError
from proxyspex_hf.explainer import InteractionExplainer
from proxyspex_hf.files import write_whole
from proxyspex_hf.hf.identity import as_text, identity_of
from proxyspex_hf.hf.masked_image import open_image, pixels_digest
from proxyspex_hf.hf.served.model import ServedModel
from proxyspex_hf.hf.tasks.table import FUNCTION, task_of
from proxyspex_hf.record.json_reader import Reader, parsed
from proxyspex_hf.record.record import ExplanationRecord
from proxyspex_hf.record.serialize import dumps, loads

KEY_LENGTH = 32
_KEY = re.compile(f"[0-9a-f]{{{KEY_LENGTH}}}")
#: Options that decide no explanation.
_NOT_DECIDING = ("errors", "cache_dir", "progress", "batch_size", "retry", "noise")
#: Bytes of one shard's list, about 100,000 rows without errors: what is longer is not read, and so
#: not written either.
LONGEST_LIST = 32 * 2**20
#: Characters of a row's error that are kept: convention.
_LONGEST_ERROR = 500


@dataclass(frozen=True)
class Done:
    """What became of one row.

    Attributes:
        row: its number.
        input: the key of its input.
        id: of its explanation, as on the Hub; None where there is none.
        error: why not.
        again: whether the error may be gone at another time, such as memory that others held: it
            is in no shard's list, and the same call asks the row again.
    """

    row: int
    input: str
    id: str | None = None
    error: str | None = None
    again: bool = False


def explainer_key(explainer: InteractionExplainer) -> str:
    """All that decides explanations beside the input: the model as it is now, the options, and a
    sibling's.

    Raises:
        InputError: the sibling is one explanation.
    """
    pipe, options = explainer.pipe, explainer.options
    model = pipe if isinstance(pipe, ServedModel) else getattr(pipe, "model", None)
    chosen = {
        field.name: getattr(options, field.name)
        for field in fields(options)
        if field.name not in _NOT_DECIDING
    }
    if isinstance(options.sibling, InteractionExplainer):
        chosen["sibling"] = explainer_key(options.sibling)
    elif options.sibling is not None:
        raise InputError(
            "the sibling of a data set's explainer must be an explainer: an explanation is of one "
            "input."
        )
    own = [
        _code_of(each)
        for each in (pipe if task_of(pipe) == FUNCTION else None, options.value)
        if callable(each)
    ]
    said = [identity_of(pipe, model, task_of(pipe)), chosen, *([own] if own else [])]
    return _hashed(as_text(said))


def input_key(explainer: str, value: Any) -> str:
    """The key of one input under an explainer's key."""
    plain = json.dumps(_plain(value), sort_keys=True, ensure_ascii=True)
    return _hashed(f"{explainer}:{plain}")


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_LENGTH]


def _plain(value: Any) -> Any:
    """All of an input as JSON data, however deep; pictures and sounds as hashes."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Image.Image):
        return _image(value)
    if isinstance(value, bytes):
        return ["bytes", hashlib.sha256(value).hexdigest()]
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return _plain(value.tolist())
    return json.loads(as_text(value))


def _image(image: Image.Image) -> list[Any]:
    """An image as data: its pixels, and where these are not all that decides what a pipeline reads
    of it (a palette, the way up that a camera noted), that too."""
    pixels = image.tobytes()
    said = ["image", image.mode, list(image.size), hashlib.sha256(pixels).hexdigest()]
    try:
        read = pixels_digest(open_image(image))
    except InputError:
        return said  # refused when it is explained, and then the row's own error
    bare = Image.frombytes(image.mode, image.size, pixels)
    return said if pixels_digest(open_image(bare)) == read else [*said, read]


def _code_of(function: Any) -> str | None:
    """What a user's own function does, as far as its code says, since two may have one name; None
    where there is no Python code to see."""
    while isinstance(function, functools.partial):
        function = function.func
    called = function if hasattr(function, "__code__") else type(function).__call__
    code = getattr(called, "__code__", None)
    return None if code is None else hashlib.sha256(_parts(code).encode()).hexdigest()


def _parts(code: CodeType) -> str:
    constants = [_parts(c) if isinstance(c, CodeType) else _constant(c) for c in code.co_consts]
    return repr([code.co_code, code.co_names, code.co_varnames, constants])


def _constant(value: Any) -> str:
    # A set has another order in each process.
    return repr(sorted(map(repr, value)) if isinstance(value, frozenset) else value)


class Pending:
    """Finished explanations that no shard holds yet, each in a file of a folder.

    Args:
        folder: on storage that all workers share; made if it is missing.

    Raises:
        InputError: it cannot be made.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot make the folder {folder}: {error}.") from error

    def _place(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def keep(self, key: str, record: ExplanationRecord) -> None:
        """Write an explanation."""
        write_whole(self._place(key), dumps(record))

    def get(self, key: str) -> ExplanationRecord | None:
        """The explanation of an input; None where there is none that can be read."""
        try:
            place = self._place(key)
            return loads(place.read_bytes(), place.name)
        except (OSError, UnicodeDecodeError, ProxySpexError):
            return None

    def drop(self, keys: Iterable[str]) -> None:
        """Forget what a shard holds."""
        for key in keys:
            self._place(key).unlink(missing_ok=True)


def lines_of(done: Iterable[Done]) -> bytes:
    """The list of a shard: JSON Lines of row, input, id and error."""
    names = ("row", "input", "id", "error")
    found = ({name: getattr(each, name) for name in names} for each in done)
    rows = ({name: value for name, value in row.items() if value is not None} for row in found)
    # Not escaped, which would take six bytes a letter.
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


def read_lines(data: bytes, where: str) -> Iterator[Done]:
    """The list of a shard that anyone may have written.

    Raises:
        SchemaError: it is none, or too long.
    """
    if len(data) > LONGEST_LIST:
        raise SchemaError(f"{where} has more than {LONGEST_LIST >> 20} MB.")
    for line in data.splitlines():
        reader = Reader(parsed(line, f"{where} is not JSON Lines"), where)
        key = reader.text("input", KEY_LENGTH)
        if not _KEY.fullmatch(key):
            raise SchemaError(f"{where}: {key!r} is not a key of an input.")
        more = {name: reader.text(name, 10_000) for name in ("id", "error") if name in reader.data}
        row = reader.integer("row", 0, 2**53)
        yield Done(row, key, id=more.get("id"), error=more.get("error"))


def short_error(error: BaseException | str) -> str:
    """An error as a row holds it: half a character, which no file can hold, is spelled out."""
    return str(error).encode("utf-8", "backslashreplace").decode()[:_LONGEST_ERROR]
