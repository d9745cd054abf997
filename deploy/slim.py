"""Fills a folder with a program, the Python that runs it and the libraries that these load: all that an image has to have.

    python slim.py ENVIRONMENT FOLDER MODULE...

ENVIRONMENT is a virtual environment, and FOLDER gets it under the same path. The modules are imported once: what that loads
is kept compiled, for a quick start, and tells which of the Kubernetes client's 1,500 modules are left out. To be run in a
Debian, where ldd says which libraries a binary loads, and dpkg which package a file is of.

All of it is the same, byte for byte, whenever it is made of the same.
"""

from __future__ import annotations

import os
import py_compile
import shutil
import ssl
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

# Parts of the standard library that need a screen, a terminal or a compiler, or are for tests and teaching.
_LEFT_OUT = {"test", "idlelib", "tkinter", "turtledemo", "turtle.py", "ensurepip", "lib2to3", "pydoc_data", "sqlite3"}
_NOT_ITS_OWN = {"site-packages", "dist-packages", "__pycache__"}
_MODULES_LEFT_OUT = ("_tkinter", "_curses", "_dbm", "_gdbm", "_sqlite3", "_test", "_xxtest", "nis", "readline", "xx")
_UNUSED = ("kubernetes/aio", "kubernetes/client/api", "kubernetes/client/models")  # loaded only by who asks for one
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_EPOCH = 315532800  # 1980, before which archives know no time


def main(environment: Path, image: Path, modules: Sequence[str]) -> None:
    """Fill the folder `image`."""
    os.umask(0o022)
    for link in map(Path, ("/bin", "/lib", "/lib64", "/sbin")):  # where /usr has taken the place of what was beside it
        if link.is_symlink():
            bring(link, image)
    python = environment / "bin" / "python"
    loaded = loaded_by(python, modules)
    tidy(environment, loaded)
    shutil.copytree(environment, image / environment.relative_to("/"), symlinks=True)
    for name in environment.glob("bin/python*"):
        bring(name, image)
    library = Path(sysconfig.get_path("stdlib"))
    for source in standard_library(library):
        bring(source, image)
    for source in sorted(libraries([python, *library.rglob("*.so"), *environment.rglob("*.so")], image)):
        bring(source, image)
    bring(_AUTHORITIES, image)
    trust(image)
    name_users(image)
    name_packages(image)
    subprocess.run(["ldconfig", "-X", "-r", image], check=True)
    shutil.rmtree(image / "var/cache", ignore_errors=True)  # ldconfig's own
    compile_all(loaded, image)
    (image / "tmp").mkdir(mode=0o777)
    (image / "tmp").chmod(0o1777)
    for script in image.rglob("*.py"):
        script.chmod(0o644)  # some of the standard library's are programs too
    for path in (image, *image.rglob("*")):
        os.utime(path, (_EPOCH, _EPOCH), follow_symlinks=False)


def bring(source: Path, image: Path) -> None:
    """Copy a file, or make a folder, it is found under the same name; of a link to a file, also what that leads to."""
    source = source.parent.resolve() / source.name
    target = image / source.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir() and not source.is_symlink():
        target.mkdir(exist_ok=True)
    elif not target.is_symlink() and not target.exists():
        shutil.copy2(source, target, follow_symlinks=False)
    if source.is_symlink() and not source.is_dir():
        bring(source.parent / source.readlink(), image)


def loaded_by(python: Path, modules: Sequence[str]) -> list[Path]:
    """Return the files of all Python modules that are loaded when these are."""
    show = "import sys; print(*(getattr(module, '__file__', None) for module in [*sys.modules.values()]), sep='\\n')"
    program = [str(python), "-c", f"import {', '.join(modules)}\n{show}"]
    printed = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=True).stdout
    return sorted({Path(line) for line in printed.splitlines() if line.endswith(".py")})


def tidy(environment: Path, loaded: Sequence[Path]) -> None:
    """Remove from the environment what is there for people at a terminal, and modules that nothing loads."""
    for script in environment.glob("bin/*"):
        if script.name != "hacron" and not script.name.startswith("python"):
            script.unlink()
    for folder in _UNUSED:
        for path in next(environment.glob("lib/python*/site-packages")).joinpath(folder).rglob("*.py"):
            if path not in loaded:
                path.unlink()
    for compiled in [*environment.rglob("__pycache__")]:
        shutil.rmtree(compiled)
    for empty in sorted((Path(found) for found, _, _ in os.walk(environment)), reverse=True):
        if not any(empty.iterdir()):
            empty.rmdir()


def standard_library(library: Path) -> Iterator[Path]:
    """Yield the files of the standard library but for what is left out."""
    for name in sorted(os.listdir(library)):
        if name in _LEFT_OUT | _NOT_ITS_OWN or name.startswith("config-"):
            continue
        inside = library / name
        for path in sorted(inside.rglob("*")) if inside.is_dir() else [inside]:
            if path.is_dir() or "__pycache__" in path.parts or path.name.startswith(_MODULES_LEFT_OUT):
                continue
            yield path


def libraries(binaries: Sequence[Path], image: Path) -> set[Path]:
    """Return the shared libraries, and the loader, that those of the binaries which are in the image need."""
    found = set()
    for binary in binaries:
        if not (image / binary.resolve().relative_to("/")).exists():
            continue
        for line in subprocess.run(["ldd", binary], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
            path = Path(line.split("=>")[-1].split("(")[0].strip())
            if path.is_absolute():
                found.add(path)
    return found


def trust(image: Path) -> None:
    """Have OpenSSL find the authorities where it looks for them."""
    looked_at = image / Path(ssl.get_default_verify_paths().openssl_cafile).relative_to("/")
    looked_at.parent.mkdir(parents=True, exist_ok=True)
    looked_at.symlink_to(_AUTHORITIES)
    bring(Path("/etc/ssl/openssl.cnf"), image)


def name_users(image: Path) -> None:
    """Write down who there is, and that hosts are found by the file and by DNS."""
    (image / "etc/passwd").write_text("root:x:0:0:root:/:/none\nhacron:x:65532:65532:hacron:/:/none\n")
    (image / "etc/group").write_text("root:x:0:\nhacron:x:65532:\n")
    (image / "etc/nsswitch.conf").write_text("hosts: files dns\n")


def name_packages(image: Path) -> None:
    """Write down which of Debian's packages files are of, as scanners look for it, and under which licences."""
    files = [f"/{path.relative_to(image)}" for path in image.rglob("*") if path.is_file()]
    spelled = [*files, *(name.removeprefix("/usr") for name in files)]  # packages may spell /usr/lib as /lib
    said = subprocess.run(["dpkg-query", "--search", *spelled], capture_output=True, text=True, check=False).stdout
    packages = {owner.strip() for line in said.splitlines() for owner in line.rpartition(": ")[0].split(",")}
    known = image / "var/lib/dpkg/status.d"
    known.mkdir(parents=True)
    for package in sorted(packages):
        status = subprocess.run(["dpkg-query", "--status", package], stdout=subprocess.PIPE, text=True, check=True).stdout
        name = package.partition(":")[0]
        (known / name).write_text(status)
        bring(Path("/usr/share/doc", name), image)  # some share their licences with another
        bring(Path("/usr/share/doc", name, "copyright"), image)


def compile_all(sources: Sequence[Path], image: Path) -> None:
    """Compile these modules; they are never compared with their source, which cannot change."""
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    for source in sources:
        copy = image / source.relative_to("/")
        if copy.exists():
            py_compile.compile(str(copy), dfile=str(source), doraise=True, invalidation_mode=unchecked)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
