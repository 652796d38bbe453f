"""What the package says of its types: strict for its users, and true of the extension."""

import os
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).parents[1]

CHECKS = {
    "the stubs are true": ["mypy.stubtest", "crawlingathome._native"],
    "mypy": ["mypy", "--strict", "--package", "crawlingathome"],
    "pyright": ["pyright", "--pythonpath", sys.executable, "--project", "."],
    "pyright, complete for users": [
        "pyright",
        "--pythonpath",
        sys.executable,
        "--ignoreexternal",
        "--verifytypes",
        "crawlingathome",
    ],
}


@pytest.mark.parametrize("check", CHECKS)
def test_types(check):
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    command = [sys.executable, "-m", *CHECKS[check]]
    checked = subprocess.run(
        command, cwd=PACKAGE, env=environment, capture_output=True, text=True, timeout=300
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


USER = """
import crawlingathome as cah
from typing_extensions import assert_type

assert_type(cah.init("http://t/"), cah.HybridClient)
assert_type(cah.init("http://t/", type="CPU"), cah.CPUClient)
assert_type(cah.init("http://t/", type=cah.GPUClient), cah.GPUClient)
for job in cah.init("http://t/", type="GPU").jobs():
    assert_type(job, cah.GPUJob)
    job.complete("a URL")
"""


def test_a_users_program_is_checked(tmp_path):
    (tmp_path / "user.py").write_text(USER)
    environment = {**os.environ, "MYPYPATH": str(PACKAGE)}
    command = [sys.executable, "-m", "mypy", "--strict", "user.py"]
    checked = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
    )
    told = [line for line in checked.stdout.splitlines() if "error" in line]
    assert len(told) == 2 and '"str"; expected "SupportsIndex"' in told[0], checked.stdout
