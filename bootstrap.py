"""`python3 bootstrap.py SESSION` sets up what a session of noxfile.py needs, then runs it.

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
import contextlib
import hashlib
import html.parser
import http.client
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

# What of pip's configuration says where packages come from. The rest (target, user, constraint, ...) would send locked
# packages to other places, or refuse them.
SETTINGS = (
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "cert", "client-cert", "timeout",
    "retries", "cache-dir", "no-cache-dir", "keyring-provider",
)  # fmt: skip


# What of uv's own variables is kept: where packages come from, too.
UV_KEPT = (
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_NO_INDEX",
    "UV_INSECURE_HOST",
    "UV_HTTP_TIMEOUT", "UV_KEYRING_PROVIDER", "UV_CACHE_DIR", "UV_NO_CACHE", "UV_NATIVE_TLS", "UV_SYSTEM_CERTS",
    "UV_INDEX_STRATEGY",
)  # fmt: skip


def main(arguments):
    """Set up, and become the session."""
    interpreter = fitting_python()
    if interpreter != sys.executable:
        become([interpreter, __file__, *arguments], os.environ)
    check_libraries()
    environment = clean_environment()
    try:
        with alone():
            python = set_up(environment)
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise SystemExit("bootstrap.py: nox cannot be set up in {}: {}".format(HOME, error))
    session = ["--session", *arguments] if arguments else ["--list"]
    become([str(python), "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), *session], environment)


def become(command, environment):
    """Run a program in place of this one, so that signals and the exit status are its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        sys.exit(subprocess.call(command, env=environment))
    os.execve(command[0], command, environment)


def fitting_python():
    """This interpreter, or another one of this machine where this one is too old or too new."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return sys.executable
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")) / "versions"
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        name = "python3.{}".format(minor)
        found = [shutil.which(name, path=folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
        found += [str(path) for path in pyenv.glob("3.{}.*/bin/{}".format(minor, name))]
        # A found program may be a stand-in for a version that is not there.
        check = "import sys; sys.exit(sys.version_info[:2] != (3, {}))".format(minor)
        for program in filter(None, found):
            if subprocess.call([program, "-c", check], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
                return program
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


def clean_environment():
    """The environment for pip, uv and nox: the user's, but of their settings only where packages come from."""
    leave = ("PIP_", "UV_", "VIRTUALENV_", "PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "NOXPYTHON", "NOXFORCEPYTHON")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(leave) or name in UV_KEPT}
    environment["PIP_CONFIG_FILE"] = os.devnull
    environment["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    settings = pip_settings()
    for name, value in settings.items():
        environment["PIP_" + name.upper().replace("-", "_")] = value
    for name, value in uv_settings(settings).items():
        environment.setdefault(name, value)
    return environment


def uv_settings(settings):
    """pip's settings in uv's words. Folders that are not there are left out: pip only warns of them, uv stops."""

    def there(places):
        return [place for place in places.split() if folder_of(place) is None or folder_of(place).exists()]

    switched_off = ("0", "false", "no", "off")
    found = {
        "UV_DEFAULT_INDEX": settings.get("index-url"),
        "UV_INDEX": " ".join(there(settings.get("extra-index-url", ""))),
        "UV_FIND_LINKS": ",".join(there(settings.get("find-links", ""))),
        "UV_NO_INDEX": "1" if settings.get("no-index", "0").lower() not in switched_off else "",
        "UV_NO_CACHE": "1" if settings.get("no-cache-dir", "0").lower() not in switched_off else "",
        "UV_INSECURE_HOST": settings.get("trusted-host"),
        "UV_HTTP_TIMEOUT": settings.get("timeout"),
        "UV_HTTP_RETRIES": settings.get("retries"),
        "UV_KEYRING_PROVIDER": "subprocess" if settings.get("keyring-provider") == "subprocess" else "",
        "UV_INDEX_STRATEGY": "unsafe-best-match",  # as pip chooses; digests protect what the locks name
        "ALL_PROXY": settings.get("proxy"),
        "SSL_CERT_FILE": settings.get("cert"),
        "SSL_CLIENT_CERT": settings.get("client-cert"),
    }
    return {name: value for name, value in found.items() if value}


@contextlib.contextmanager
def alone():
    """One process at a time sets up."""
    HOME.parent.mkdir(exist_ok=True)
    with (HOME.parent / "bootstrap.lock").open("w") as file:
        if os.name != "nt":
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def set_up(environment):
    """The interpreter of an environment with nox; made on first use and when the lock has changed."""
    python = HOME / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = HOME / "installed"
    wanted = "{} {} {}".format(sys.version, ROOT, hashlib.sha256(LOCK.read_bytes()).hexdigest())
    if python.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    say("setting up nox in {}".format(HOME.relative_to(ROOT)))
    if HOME.exists():
        shutil.rmtree(str(HOME))
    try:
        import venv
    except ImportError:
        raise SystemExit("bootstrap.py: this Python has no module venv; install it (python3-venv)")
    has_pip = importlib.util.find_spec("ensurepip") is not None
    venv.EnvBuilder(with_pip=has_pip, symlinks=os.name != "nt").create(str(HOME))
    pip = [str(python), "-m", "pip"] if has_pip else [str(python), str(fetch_pip() / "pip")]
    command = [*pip, "install", "--quiet", "--require-hashes", "--requirement", str(LOCK)]
    if subprocess.call(command, env=environment) != 0:
        raise SystemExit("bootstrap.py: pip could not install nox (its own words are above)")
    subprocess.check_call([str(python), "-c", "import nox, uv, virtualenv"], env=environment)
    stamp.write_text(wanted, encoding="utf-8")
    return python


def fetch_pip():
    """The wheel of pip that the lock names, from where the user's pip gets packages; a wheel runs as it is."""
    version, digests = locked("pip")
    name = "pip-{}-py3-none-any.whl".format(version)
    settings = pip_settings()
    pages = settings.get("find-links", "").split()
    if settings.get("no-index", "0").lower() in ("0", "false", "no", "off"):
        indexes = settings.get("index-url", INDEX) + " " + settings.get("extra-index-url", "")
        pages += [index.rstrip("/") + "/pip/" for index in indexes.split()]
    problems = []
    for page in pages:
        try:
            link = link_to(name, page, settings)
            if link is None:
                problems.append("{}: has no {}".format(hidden(page), name))
                continue
            _, content = read(link, settings)
        except (OSError, ValueError, http.client.HTTPException) as error:
            problems.append("{}: {}".format(hidden(page), error or type(error).__name__))
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
            "\n  ".join(problems or ["pip's configuration names no place to fetch from"])
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
    """Those of SETTINGS that the user's pip has here: from its configuration files, then the environment."""
    sections = {"global": {}, "install": {}}
    for path in pip_files():
        parser = configparser.RawConfigParser()
        try:
            parser.read(str(path), encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        for section, found in sections.items():
            for key, value in parser.items(section) if parser.has_section(section) else ():
                found[key.lstrip("-").replace("_", "-")] = value
    merged = dict(sections["global"], **sections["install"])
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            merged[name[4:].lower().replace("_", "-")] = value
    merged.setdefault("timeout", merged.get("default-timeout", ""))
    return {name: merged[name] for name in SETTINGS if merged.get(name)}


def pip_files():
    """pip's configuration files, the one that counts most last, as `pip config debug` lists them."""
    chosen = os.environ.get("PIP_CONFIG_FILE", "")
    if chosen == os.devnull:
        return []
    home = pathlib.Path(os.path.expanduser("~"))
    folders = os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(os.pathsep)
    files = [pathlib.Path(folder) / "pip" / "pip.conf" for folder in folders if folder]
    files += [pathlib.Path("/Library/Application Support/pip/pip.conf"), pathlib.Path("/etc/pip.conf")]
    if not os.path.exists(chosen):  # else pip passes over the user's own files
        files += [home / ".pip" / "pip.conf", home / "Library" / "Application Support" / "pip" / "pip.conf"]
        files.append(pathlib.Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf")
    files.append(pathlib.Path(sys.prefix) / "pip.conf")
    return files + ([pathlib.Path(chosen)] if chosen else [])


class Links(html.parser.HTMLParser):
    """Collects the links of an index page, each as a whole address."""

    def __init__(self, address):
        super().__init__()
        self.base = address
        self.found = []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "href" and value and tag == "base":
                self.base = urllib.parse.urljoin(self.base, value)
            elif name == "href" and value and tag == "a":
                self.found.append(urllib.parse.urljoin(self.base, value.strip().split("#")[0]))


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, and takes user and password to no other host."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        if found is not None and found.host != req.host:
            found.remove_header("Authorization")
        return found


def link_to(name, page, settings):
    """The address of the file `name` on an index page or in a folder; None when it is not there."""
    folder = folder_of(page)
    if folder is not None and folder.is_dir():
        if (folder / name).exists():
            return (folder / name).as_uri()
        page = (folder / "index.html").as_uri()
    address, content = read(page, settings)
    links = Links(address)
    links.feed(content.decode("utf-8", "replace"))
    for link in links.found:
        if urllib.parse.unquote(urllib.parse.urlsplit(link).path).rsplit("/", 1)[-1] == name:
            return with_login(urllib.parse.quote(link, safe=":/?&=%@[]+~"), page)
    return None


def folder_of(place):
    """The path that a place names, where it names one of this machine."""
    parts = urllib.parse.urlsplit(place)
    if parts.scheme == "file":
        return pathlib.Path(urllib.request.url2pathname(parts.path))
    return pathlib.Path(os.path.expanduser(place)).absolute() if not parts.scheme else None


def with_login(address, page):
    """An address on the index's own host takes over its user and password."""
    one, other = urllib.parse.urlsplit(address), urllib.parse.urlsplit(page)
    if "@" in other.netloc and "@" not in one.netloc and one.netloc == other.netloc.rsplit("@", 1)[1]:
        return urllib.parse.urlunsplit(one._replace(netloc=other.netloc))
    return address


def read(address, settings):
    """Where an address led to and what it holds; user and password may stand in it or in the user's .netrc."""
    parts = urllib.parse.urlsplit(address)
    login, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(urllib.parse.urlunsplit(parts._replace(netloc=host)))
    request.add_header("User-Agent", "lse-bench-bootstrap")
    request.add_header("Accept", "text/html, application/octet-stream;q=0.9, */*;q=0.1")
    login = urllib.parse.unquote(login) if login else login_of(parts.hostname)
    if login:
        login = login if ":" in login else login + ":"  # a token alone is a user without a password
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode("utf-8")).decode("ascii"))
    proxy = settings.get("proxy")
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({"http": proxy, "https": proxy} if proxy else None),
        urllib.request.HTTPSHandler(context=certificates(host, settings)),
        Redirects(),
    )
    with opener.open(request, timeout=60) as answer:
        return answer.geturl(), answer.read()


def certificates(host, settings):
    """Which certificates count for a host. One that the user trusts needs none: digests protect what it gives."""
    if {host, host.partition(":")[0]} & set(settings.get("trusted-host", "").split()):
        return ssl._create_unverified_context()
    chosen = settings.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if not chosen:
        return ssl.create_default_context()
    chosen = os.path.expanduser(chosen)
    if not os.path.exists(chosen):
        raise ValueError("the certificates {} are not there".format(chosen))
    folder = os.path.isdir(chosen)
    return ssl.create_default_context(capath=chosen if folder else None, cafile=None if folder else chosen)


def login_of(host):
    """`user:password` of a host in the user's .netrc, or nothing."""
    try:
        found = netrc.netrc().authenticators(host or "")
    except (OSError, netrc.NetrcParseError):
        return ""
    return "{}:{}".format(found[0], found[2]) if found else ""


def hidden(address):
    """An address without the user's password."""
    scheme, slashes, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + slashes + host.rpartition("@")[2] + slash + path if slashes else address


def say(text):
    """A line for the user, before the programs called here print theirs."""
    sys.stderr.write("bootstrap.py: {}\n".format(text))
    sys.stderr.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
