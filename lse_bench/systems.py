"""What an operating system must bring: two libraries that OpenCV opens on Linux, and the line that installs them.

Standard library only: `bootstrap.py` reads this before anything is installed.
"""

from __future__ import annotations

import ctypes
import platform

OPENCV_LIBRARIES = ("libGL.so.1", "libgthread-2.0.so.0")

# By ID or ID_LIKE of /etc/os-release. `{python}` is what the same line has to install where Python is too old or new.
_LINES = {
    "debian": "apt-get install {python}libgl1 libglib2.0-0",
    "fedora": "dnf install {python}mesa-libGL glib2",
    "rhel": "dnf install {python}mesa-libGL glib2",
    "suse": "zypper install {python}Mesa-libGL1 libgthread-2_0-0",
    "arch": "pacman -S {python}libglvnd glib2",
}


def missing_libraries() -> list[str]:
    """Those of OpenCV's libraries that cannot be opened here; none on other systems than Linux."""
    if platform.system() != "Linux":
        return []
    missing = []
    for name in OPENCV_LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            missing.append(name)
    return missing


def install_line(python: str = "") -> str:
    """The command that installs what OpenCV needs, and the package `python`, on this system, for an administrator.

    On a system that is not known, Debian's, which says what to look for.
    """
    known = [_LINES[name] for name in _names_of_this_system() if name in _LINES]
    return (known[0] if known else _LINES["debian"]).format(python=f"{python} " if python else "")


def _names_of_this_system() -> list[str]:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return []
    return [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
