"""Builds the package for pip: the extension by maturin, and the command `cah` beside it.

`CAH_WHEEL_TARGET` names what both are built for, such as `x86_64-unknown-linux-gnu.2.17` for every
Linux since 2014: zig links them then. `CAH_WHEEL_PROFILE` is cargo's profile, `release` if not set.
"""

import json
import os
import pathlib
import shutil
import subprocess

import maturin
from maturin import (  # noqa: F401  the rest of the interface
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

HERE = pathlib.Path(__file__).parent
SCRIPTS = HERE / "crawlingathome.data" / "scripts"
TARGET = os.environ.get("CAH_WHEEL_TARGET")
PROFILE = os.environ.get("CAH_WHEEL_PROFILE", "release")


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    SCRIPTS.mkdir(parents=True, exist_ok=True)
    return maturin.prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def prepare_metadata_for_build_editable(metadata_directory, config_settings=None):
    SCRIPTS.mkdir(parents=True, exist_ok=True)
    return maturin.prepare_metadata_for_build_editable(metadata_directory, config_settings)


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    build_command()
    return maturin.build_wheel(wheel_directory, settings(), metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    build_command()
    return maturin.build_editable(wheel_directory, settings(), metadata_directory)


def build_command():
    """Builds `cah` and puts it where maturin takes the scripts of a wheel from."""
    SCRIPTS.mkdir(parents=True, exist_ok=True)
    cargo = ["cargo", "zigbuild", "--target", TARGET] if TARGET else ["cargo", "build"]
    options = ["--locked", "--profile", PROFILE, "--bin", "cah", "--package", "cah"]
    subprocess.run([*cargo, *options], cwd=HERE, check=True)
    shutil.copy2(built() / "cah", SCRIPTS / "cah")


def built():
    """The folder in which cargo leaves programs."""
    command = ["cargo", "metadata", "--no-deps", "--format-version=1"]
    told = subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True)
    target = pathlib.Path(json.loads(told.stdout)["target_directory"])
    folder = "debug" if PROFILE == "dev" else PROFILE
    return target / triple() / folder if TARGET else target / folder


def triple():
    """The target without the version of the C library, which only zig knows to read."""
    return TARGET.split(".")[0]


def settings():
    """What maturin is told."""
    arguments = ["--locked", "--profile", PROFILE]
    if TARGET:
        arguments += ["--zig", "--target", triple(), "--compatibility", "manylinux2014"]
    return {"build-args": arguments}
