"""`python3 bootstrap.py SESSION`: whatever a machine lacks to run a session of noxfile.py is set up, and it runs.

    python3 bootstrap.py demo             # makes talking faces, scores them, writes demo/report.html
    python3 bootstrap.py tests            # runs the tests
    python3 bootstrap.py tests -- -k media
    python3 bootstrap.py                  # lists the sessions

It needs Python 3.11 to 3.13 and, on Linux, the two system libraries that OpenCV opens. It needs no pip. Everything
lies in this folder: nox in `.nox/bootstrap`, the project in `.venv`. Packages come from the index that pip is
configured with, in versions and with digests from `requirements/`.
"""

import base64
import configparser
import hashlib
import html.parser
import importlib.util
import netrc
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

# This file must be readable by any Python 3, to say which one is needed. So: no newer syntax than 3.6 has.

ROOT = pathlib.Path(__file__).resolve().parent
HOME = ROOT / ".nox" / "bootstrap"
LOCK = ROOT / "requirements" / "bootstrap.lock"
OLDEST, NEWEST = (3, 11), (3, 13)
INDEX = "https://pypi.org/simple"


def main(arguments):
    """Set up, run the session, and return its exit status."""
    interpreter = fitting_python()
    if interpreter != sys.executable:
        return subprocess.call([interpreter, __file__, *arguments])
    check_libraries()
    python = set_up()
    session = ["--list"] if not arguments else ["--session", *arguments]
    return subprocess.call([str(python), "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), *session])


def fitting_python():
    """This interpreter, or another one of this machine where this one is too old or too new."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        name = "python3.{}".format(minor)
        found = shutil.which(name)
        # A found program may be a stand-in for a version that is not there.
        if found and subprocess.call([found, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
            return found
    raise SystemExit(
        "bootstrap.py: this is Python {}.{}, and LSE-Bench needs 3.11, 3.12 or 3.13; no python3.11 to python3.13 is on "
        "the PATH.\nInstall one, for instance with your system's packages (python3.13), pyenv, conda or uv "
        "(uv run --no-project --python 3.13 python bootstrap.py demo).".format(*sys.version_info[:2])
    )


def check_libraries():
    """Stop with the line that installs OpenCV's system libraries where they are missing."""
    spec = importlib.util.spec_from_file_location("systems", str(ROOT / "lse_bench" / "systems.py"))
    systems = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(systems)
    missing = systems.missing_libraries()
    if missing:
        line = systems.install_line()
        raise SystemExit(
            "bootstrap.py: OpenCV needs {}, which this system does not have. Install what is missing, then run this "
            "again:\n    {}{}".format(" and ".join(missing), "" if os.geteuid() == 0 else "sudo ", line)
        )


def set_up():
    """The interpreter of an environment with nox; made on first use and when the lock has changed."""
    python = HOME / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = HOME / "installed"
    wanted = "{} {}".format(sys.version, hashlib.sha256(LOCK.read_bytes()).hexdigest())
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    say("setting up nox in {}".format(HOME.relative_to(ROOT)))
    shutil.rmtree(str(HOME), ignore_errors=True)
    try:
        import venv
    except ImportError:
        raise SystemExit("bootstrap.py: this Python has no module venv; install it (python3-venv)") from None
    has_pip = importlib.util.find_spec("ensurepip") is not None
    venv.EnvBuilder(with_pip=has_pip, symlinks=os.name != "nt").create(str(HOME))
    pip = [str(python), "-m", "pip"] if has_pip else [str(python), str(fetch_pip() / "pip")]
    environment = dict(os.environ, PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_REQUIRE_VIRTUALENV="0")
    command = [*pip, "install", "--quiet", "--require-hashes", "--requirement", str(LOCK)]
    if subprocess.call(command, env=environment) != 0:
        raise SystemExit("bootstrap.py: pip could not install nox (its own words are above)")
    stamp.write_text(wanted, encoding="utf-8")
    return python


def fetch_pip():
    """The wheel of pip that the lock names, from the user's index; a wheel runs without being installed."""
    version, digests = locked("pip")
    name = "pip-{}-py3-none-any.whl".format(version)
    settings = pip_settings()
    places = [place for place in (settings["index-url"] + " " + settings["extra-index-url"]).split() if place]
    problems = []
    for place in places:
        page = place.rstrip("/") + "/pip/"
        try:
            link = link_to(name, page, settings)
            if link is None:
                problems.append("{}: has no {}".format(hidden(page), name))
                continue
            content = read(link, settings)
        except (OSError, ValueError) as error:
            problems.append("{}: {}".format(hidden(page), error))
            continue
        if hashlib.sha256(content).hexdigest() not in digests:
            problems.append("{}: its {} has another digest than the lock".format(hidden(page), name))
            continue
        wheel = HOME / name
        wheel.write_bytes(content)
        return wheel
    raise SystemExit(
        "bootstrap.py: this Python has no pip, and none could be fetched:\n  {}\nCheck the network, PIP_INDEX_URL and "
        "the proxy settings, or install your system's package with pip in it (Debian, Ubuntu: python3-venv).".format(
            "\n  ".join(problems)
        )
    )


def locked(package):
    """Version and SHA-256 digests of a package in the lock."""
    lines = LOCK.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    for line in lines:
        if line.startswith(package + "=="):
            words = line.split()
            return words[0].split("==")[1], [word.split(":")[1] for word in words if word.startswith("--hash=sha256:")]
    raise SystemExit("bootstrap.py: {} names no {}; it is damaged".format(LOCK, package))


def pip_settings():
    """What pip would be told here of indexes, proxy and certificates: its configuration files, then the environment."""
    found = {"index-url": INDEX, "extra-index-url": "", "proxy": "", "cert": ""}
    for path in pip_files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(str(path), encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            for name in found:
                if parser.has_option(section, name):
                    found[name] = parser.get(section, name)
    for name in found:
        found[name] = os.environ.get("PIP_" + name.upper().replace("-", "_"), found[name])
    return found


def pip_files():
    """pip's configuration files, the one that counts most last, as `pip config debug` lists them."""
    chosen = os.environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return []
    home = pathlib.Path(os.path.expanduser("~"))
    folders = os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)
    files = [pathlib.Path(folder) / "pip" / "pip.conf" for folder in folders if folder]
    files += [pathlib.Path("/Library/Application Support/pip/pip.conf"), pathlib.Path("/etc/pip.conf")]
    files += [home / ".pip" / "pip.conf", home / "Library" / "Application Support" / "pip" / "pip.conf"]
    files.append(pathlib.Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf")
    files.append(pathlib.Path(sys.prefix) / "pip.conf")
    return files + ([pathlib.Path(chosen)] if chosen else [])


class Links(html.parser.HTMLParser):
    """Collects the links of an index page."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]


def link_to(name, page, settings):
    """The address of the file `name` on an index page; None when it is not there."""
    links = Links()
    links.feed(read(page, settings).decode("utf-8"))
    for link in links.found:
        address = urllib.parse.urljoin(page, link.split("#")[0])
        if urllib.parse.unquote(urllib.parse.urlsplit(address).path).rsplit("/", 1)[-1] == name:
            return with_login(address, page)
    return None


def with_login(address, page):
    """An address on the index's own host takes over its user and password."""
    one, other = urllib.parse.urlsplit(address), urllib.parse.urlsplit(page)
    if "@" in other.netloc and "@" not in one.netloc and one.netloc == other.netloc.rsplit("@", 1)[1]:
        return urllib.parse.urlunsplit(one._replace(netloc=other.netloc))
    return address


def read(address, settings):
    """What an address holds; user and password may stand in it or in the user's .netrc."""
    parts = urllib.parse.urlsplit(address)
    login, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urllib.parse.urlunsplit(parts._replace(netloc=host)))
    request.add_header("User-Agent", "lse-bench-bootstrap")
    request.add_header("Accept", "text/html, application/octet-stream;q=0.9, */*;q=0.1")
    login = urllib.parse.unquote(login) if login else login_of(parts.hostname)
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode("utf-8")).decode("ascii"))
    proxies = {"http": settings["proxy"], "https": settings["proxy"]} if settings["proxy"] else None
    certificates = settings["cert"] or os.environ.get("REQUESTS_CA_BUNDLE") or None
    context = ssl.create_default_context(cafile=certificates)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies), urllib.request.HTTPSHandler(context=context)
    )
    with opener.open(request, timeout=60) as answer:
        return answer.read()


def login_of(host):
    """`user:password` of a host in the user's .netrc, or nothing."""
    try:
        found = netrc.netrc().authenticators(host or "")
    except (OSError, netrc.NetrcParseError):
        return ""
    return "{}:{}".format(found[0], found[2]) if found else ""


def hidden(address):
    """An address without the user's password."""
    parts = urllib.parse.urlsplit(address)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def say(text):
    """A line for the user, before the programs called here print theirs."""
    sys.stderr.write("bootstrap.py: {}\n".format(text))
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
