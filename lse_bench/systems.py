"""The system libraries that OpenCV needs on Linux, and the command that installs them.

The module needs only the standard library, because `bootstrap.py` loads it before anything is installed.
"""

from __future__ import annotations

import ctypes
import platform

OPENCV_LIBRARIES = ("libGL.so.1", "libgthread-2.0.so.0")

# The keys are values of ID or ID_LIKE in /etc/os-release.
_LINES = {
    "debian": "apt-get install libgl1 libglib2.0-0",
    "fedora": "dnf install mesa-libGL glib2",
    "rhel": "dnf install mesa-libGL glib2",
    "suse": "zypper install Mesa-libGL1 libgthread-2_0-0",
    "arch": "pacman -S libglvnd glib2",
}


def missing_libraries() -> list[str]:
    """Return OpenCV's libraries that cannot be opened on this system. On systems other than Linux the list is empty."""
    if platform.system() != "Linux":
        return []
    missing = []
    for name in OPENCV_LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            missing.append(name)
    return missing


def install_line() -> str:
    """Return the command with which an administrator installs OpenCV's libraries on this system.

    An unknown system gets Debian's command, which shows the libraries to look for.
    """
    known = [_LINES[name] for name in _names_of_this_system() if name in _LINES]
    return known[0] if known else _LINES["debian"]


def _names_of_this_system() -> list[str]:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return []
    return [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
