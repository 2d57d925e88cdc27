"""What stands at a path keeps its nature when it is written."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from proxyspex_hf.errors import InputError
from proxyspex_hf.files import check_writable, replaces, write_whole


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_of_a_link_the_file_it_leads_to_is_written(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    real, link, far = store / "e.json", tmp_path / "link.json", tmp_path / "far.json"
    real.write_text("old")
    link.symlink_to(Path("store", "e.json"))  # relative to where the link stands
    far.symlink_to("link.json")
    for name, said in ((link, "new"), (far, "newer")):
        write_whole(name, said)
        assert real.read_text() == name.read_text() == said
    assert [link.readlink(), far.readlink()] == [Path("store", "e.json"), Path("link.json")]
    assert sorted(p.name for p in (*tmp_path.iterdir(), *store.iterdir())) == [
        *("e.json", "far.json", "link.json", "store")
    ]


def test_a_link_to_nothing_makes_what_it_names(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("later.json")
    write_whole(link, "here")
    assert link.is_symlink()
    assert (tmp_path / "later.json").read_text() == "here"
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(InputError, match=r"cannot write .*loop"):
        write_whole(loop, "x")
    assert loop.is_symlink()


@pytest.mark.parametrize("before", [0o600, 0o640, 0o755])
def test_a_file_keeps_its_mode(tmp_path: Path, before: int) -> None:
    path = tmp_path / "e.json"
    path.write_text("old")
    path.chmod(before)
    write_whole(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", before)


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    write_whole(tmp_path / "ours", "x")
    (tmp_path / "any").touch()
    assert mode(tmp_path / "ours") == mode(tmp_path / "any")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe, link, heard = tmp_path / "pipe", tmp_path / "link", list[bytes]()
    os.mkfifo(pipe)
    link.symlink_to("pipe")
    for path in (pipe, link):
        # A reader that does not wait, so that what is not written is seen and does not block.
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        try:
            write_whole(path, "said")
            heard.append(os.read(reader, 100) if stat.S_ISFIFO(pipe.lstat().st_mode) else b"")
        finally:
            os.close(reader)
    assert heard == [b"said", b"said"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe"]


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_an_open_file_is_written_where_it_stands(tmp_path: Path) -> None:
    """As ``--out /dev/stdout >> log`` writes: after what is there, and before what follows."""
    log = tmp_path / "log"
    with log.open("wb", buffering=0) as stream:
        stream.write(b"before ")
        link = tmp_path / "stdout"
        link.symlink_to(f"/dev/fd/{stream.fileno()}")
        write_whole(link, "once ")
        write_whole(f"/dev/fd/{stream.fileno()}", "twice ")
        stream.write(b"after")
    assert log.read_bytes() == b"before once twice after"
    ours, theirs = os.pipe()
    write_whole(f"/dev/fd/{theirs}", "piped")
    assert os.read(ours, 100) == b"piped"
    os.close(ours), os.close(theirs)
    with pytest.raises(InputError, match="cannot write"):
        write_whole(f"/dev/fd/{theirs}", "closed")


def test_a_longer_text_than_a_pipe_holds_arrives_whole() -> None:
    ours, theirs = os.pipe()
    found = bytearray()

    def read() -> None:
        while piece := os.read(ours, 65_536):
            found.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        write_whole(f"/dev/fd/{theirs}", b"x" * 1_000_000)
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)
    assert len(found) == 1_000_000


def test_a_folder_is_refused_and_stays(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*directory"):
        write_whole(tmp_path, "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="needs /dev/fd")
def test_where_one_could_write_is_known_beforehand(tmp_path: Path) -> None:
    """Of an open file, a pipe or a device, its directory says nothing: only root may make files in
    ``/dev``."""
    ours, theirs = os.pipe()
    pipe, locked, closed = tmp_path / "pipe", tmp_path / "locked", tmp_path / "closed"
    os.mkfifo(pipe)
    os.mkfifo(locked, 0o400)
    closed.mkdir()
    (closed / "there.json").write_text("old")
    into = tmp_path / "into.json"
    into.symlink_to("closed/new.json")
    pipe.chmod(0o666)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    closed.chmod(0o555)
    nobody = 65534
    places = [*(f"/dev/fd/{theirs}", "/dev/null", str(pipe)), f"/dev/fd/{ours}", str(locked)]
    places += [*map(str, (closed / "there.json", into, tmp_path / "none" / "x", tmp_path))]
    child = os.fork()
    if not child:
        said = []
        try:
            if os.geteuid() == 0:
                os.setuid(nobody)
            for place in places:
                try:
                    check_writable(Path(place))
                    said.append("")
                except InputError as problem:
                    said.append(str(problem).removeprefix(f"cannot write {place}: "))
            os.write(theirs, "\n".join(said).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    said = os.read(ours, 10_000).decode().split("\n")
    os.close(ours), os.close(theirs)
    closed.chmod(0o755)
    locked_out = f"the directory {closed} is not writable."
    assert said == [
        *("", "", "", "Bad file descriptor.", "it is not writable."),
        *(locked_out, locked_out),
        *(f"{tmp_path / 'none'} is not a directory.", "it is a directory."),
    ]


def test_what_would_be_replaced(tmp_path: Path) -> None:
    one, other, link = (tmp_path / name for name in ("one", "other", "link"))
    assert replaces(one, tmp_path / "none" / ".." / "one")  # neither is there yet
    one.write_text("x")
    assert not replaces(one, other)
    link.symlink_to("one")
    assert replaces(link, one)
    assert replaces(one, link)
    assert not replaces(Path(os.devnull), Path(os.devnull))
