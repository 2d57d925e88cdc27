"""Several people at once, and other programs: everything ends up in the repository, readable."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hub_server import HubServer
from hub_server.clients import environment_for
from PIL import Image

from proxyspex_hf import InteractionExplanation, push_explanations

REPO = "me/explanations"


def test_someone_commits_just_before_us(
    hub: HubServer, several: list[InteractionExplanation]
) -> None:
    several[0].push_to_hub(REPO)
    # Between our look at the repository and our commit, twice.
    others = iter(several[1:3])
    hub.meanwhile("POST", "/commit/", lambda: next(others).push_to_hub(REPO), times=1)
    hub.meanwhile("POST", "/commit/", lambda: hub.put(REPO, {"notes.txt": b"hello"}), times=1)
    several[4].push_to_hub(REPO)
    assert len(InteractionExplanation.list_hub(REPO)) == 3
    assert hub.files(REPO)["notes.txt"] == b"hello"
    for explanation in (several[0], several[1], several[4]):
        found = InteractionExplanation.from_hub(
            REPO, explanation.push_to_hub(REPO).ids[0]
        )  # pushed again: it is there
        assert found == explanation
    card = hub.files(REPO)["README.md"].decode()
    assert "3 explanations of what models answered" in card


def test_threads_that_push_at_once_all_end_up_in_it(
    hub: HubServer, several: list[InteractionExplanation]
) -> None:
    start = threading.Barrier(5)

    def work(explanation: InteractionExplanation) -> str:
        start.wait()
        return explanation.push_to_hub(REPO).revision

    with ThreadPoolExecutor(5) as pool:
        revisions = list(pool.map(work, several))
    assert len(set(revisions)) == 5
    assert len(InteractionExplanation.list_hub(REPO)) == 5
    assert len(hub.repo(REPO).log()) == 6
    assert any(request.status in (409, 412) for request in hub.requests)


def test_the_same_explanation_pushed_at_once_is_there_once(
    hub: HubServer, several: list[InteractionExplanation], outbox: Path
) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: several[0].push_to_hub(REPO), range(4)))
    assert len({result.ids for result in done}) == 1
    assert InteractionExplanation.from_hub(REPO) == several[0]
    assert len(hub.repo(REPO).log()) == 2
    assert list(outbox.iterdir()) == []


def test_processes_that_push_at_once_all_end_up_in_it(
    hub: HubServer, several: list[InteractionExplanation], tmp_path: Path
) -> None:
    running = []
    for number, explanation in enumerate(several[:3]):
        file = tmp_path / f"{number}.json"
        explanation.save(file)
        command = [sys.executable, "-m", "proxyspex_hf", "push", str(file), REPO]
        home = tmp_path / f"home {number}"
        running.append(
            subprocess.Popen(
                command, env=environment_for(hub, home), stderr=subprocess.PIPE, text=True
            )
        )
    for process in running:
        _, complaint = process.communicate(timeout=240)
        assert process.returncode == 0, complaint
    assert len(InteractionExplanation.list_hub(REPO)) == 3


CODE = """
import json, sys
import numpy as np
from datasets import load_dataset
rows = load_dataset({repo!r})["train"]
queries = load_dataset({repo!r}, "queries", split="train")
first, asked = rows[0], queries[0]
bits = np.frombuffer(asked["masks"], "uint8").reshape(len(asked["values"]), -1)
masks = np.unpackbits(bits, axis=1, count=asked["n_features"])
images = [row["image"] for row in rows if row["image"] is not None]
json.dump({{
    "ids": rows["id"][:],
    "same": first["id"] == asked["id"],
    "loaded": [name for name in sys.modules if name.startswith("proxyspex_hf")],
    "features": first["features"],
    "support": first["support"],
    "coefficients": first["coefficients"],
    "top": first["top_interactions"][0],
    "masks": masks.tolist(),
    "values": asked["values"],
    "image": [image.size + image.getpixel((1, 1)) for image in images],
    "kind": str(rows.features["image"]),
}}, sys.stdout)
"""


def test_datasets_opens_it_without_our_package(
    hub: HubServer,
    several: list[InteractionExplanation],
    captioned: InteractionExplanation,
    tmp_path: Path,
) -> None:
    done = push_explanations([*several[:2], captioned], REPO)
    push_explanations(several[2:], REPO)
    process = subprocess.run(
        [sys.executable, "-c", CODE.format(repo=REPO)],
        env=environment_for(hub, tmp_path / "reader"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert process.returncode == 0, process.stderr
    found = json.loads(process.stdout)
    assert found["loaded"] == []
    assert found["same"]
    assert len(set(found["ids"])) == 6
    assert set(done.ids) <= set(found["ids"])
    record = InteractionExplanation.from_hub(REPO, found["ids"][0]).record
    assert found["features"] == list(record.features.labels)
    assert found["support"] == [list(members) for members in record.spectrum.sets]
    assert found["coefficients"] == record.spectrum.coefficients.tolist()
    assert found["masks"] == record.queries.masks.astype(int).tolist()
    assert found["values"] == record.queries.values.tolist()
    best = InteractionExplanation(record).top(1)[0]
    assert found["top"]["features"] == " × ".join(best.labels)
    assert found["top"]["effect"] == best.effect
    assert found["kind"].startswith("Image(")
    assert captioned.record.picture is not None
    picture = Image.open(io.BytesIO(captioned.record.picture.png))
    assert found["image"] == [[6, 4, *picture.getpixel((1, 1))]]
