"""What Prefect servers are run with in earnest: Postgres and proxies, each a process on a free port of loopback.

Redis is in `tests/redis_server.py`. The programs are Debian's; `make system-matrix` installs them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.ports import free_port

DEADLINE = 180.0


def program(name: str) -> str:
    """Return the path of a program; fail the test with the command that installs it."""
    folders = [os.environ.get("PATH", ""), "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    found = shutil.which(name, path=":".join(folders))
    if found is None:
        pytest.fail(f"{name} is not installed: make system-matrix (as root, on Debian)")
    return found


class Service:
    """One process in a folder of its own that listens on `port` of 127.0.0.1; a context manager."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix=f"rawlogs-{name}-"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Service:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def command(self) -> Sequence[str]:
        """Return what is run."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        log = self.folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                **_identity(self.name),
            )
        give_up = time.monotonic() + DEADLINE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > give_up:
                pytest.fail(f"{self.name} did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)

    ends_at = signal.SIGTERM
    """What ends it at once. Not SIGINT, which what was started in the background of a shell ignores."""

    def stop(self) -> None:
        """End it, and wait for that."""
        if self._process is not None:
            self._process.send_signal(self.ends_at)
            self._process.wait(DEADLINE)
            self._process = None

    def close(self) -> None:
        """Stop it, and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True


def _identity(name: str) -> dict[str, str]:
    # Postgres refuses to run as root; Debian's package brings a user for it.
    return {"user": "postgres", "group": "postgres"} if name == "postgres" and os.geteuid() == 0 else {}


class Postgres(Service):
    """An empty cluster with one database; everybody on this machine is its owner."""

    ends_at = signal.SIGINT  # it waits for its clients at SIGTERM, and heeds this wherever it was started

    def __init__(self) -> None:
        super().__init__("postgres")
        if identity := _identity(self.name):
            user = pwd.getpwnam(identity["user"])
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        subprocess.run(
            [
                program("initdb"),
                "-D",
                str(self.folder / "data"),
                "-U",
                "postgres",
                "--auth=trust",
                "--no-sync",
            ],
            cwd=self.folder,
            check=True,
            capture_output=True,
            **_identity(self.name),
        )

    @property
    def url(self) -> str:
        """The database as Prefect wants it."""
        return f"postgresql+asyncpg://postgres@127.0.0.1:{self.port}/postgres"

    def command(self) -> Sequence[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [program("postgres"), "-D", str(self.folder / "data"), *words]


class Nginx(Service):
    """nginx in front of Prefect servers, in turn. With `path` it serves them below that, with TLS by `certificate`.

    `idle` is how many seconds a socket may be silent before it is cut.
    """

    def __init__(
        self,
        ports: Sequence[int],
        *,
        path: str = "",
        certificate: Mapping[str, Path] | None = None,
        idle: int = 60,
    ) -> None:
        super().__init__("nginx")
        tls = f"""
            ssl_certificate {certificate["cert"]};
            ssl_certificate_key {certificate["key"]};""" if certificate else ""  # fmt: skip
        upstream = "\n".join(f"            server 127.0.0.1:{port};" for port in ports)
        (self.folder / "nginx.conf").write_text(f"""
    {"user root;" if os.geteuid() == 0 else ""}
    worker_processes 1;
    daemon off;
    pid nginx.pid;
    error_log stderr;
    events {{}}
    http {{
        access_log off;
        client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
        uwsgi_temp_path uwsgi; scgi_temp_path scgi;
        map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
        upstream prefect {{
{upstream}
        }}
        server {{
            listen 127.0.0.1:{self.port}{" ssl" if certificate else ""};{tls}
            location {path}/api/ {{
                proxy_pass http://prefect/api/;
                proxy_http_version 1.1;
                proxy_set_header Host $http_host;
                proxy_set_header Upgrade $http_upgrade;
                proxy_set_header Connection $connection_upgrade;
                proxy_read_timeout {idle}s;
                proxy_send_timeout {idle}s;
            }}
        }}
    }}
""")
        self.api_url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}{path}/api"

    def command(self) -> Sequence[str]:
        return [program("nginx"), "-p", str(self.folder), "-e", "stderr", "-c", "nginx.conf"]


class Haproxy(Service):
    """haproxy in front of one Prefect server."""

    def __init__(self, port: int) -> None:
        super().__init__("haproxy")
        (self.folder / "haproxy.cfg").write_text(f"""
global
    hard-stop-after 1s
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
frontend front
    bind 127.0.0.1:{self.port}
    default_backend prefect
backend prefect
    server one 127.0.0.1:{port}
""")
        self.api_url = f"http://127.0.0.1:{self.port}/api"

    def command(self) -> Sequence[str]:
        return [program("haproxy"), "-db", "-f", "haproxy.cfg"]

    def reload(self) -> None:
        """Let a new process take over the port; the old one cuts what is open after a second."""
        old, self._process = self._process, None
        assert old is not None
        self.start()
        old.send_signal(signal.SIGUSR1)
        old.wait(DEADLINE)


class Microsocks(Service):
    """A SOCKS 5 proxy that says in `log` whom it connects."""

    def __init__(self) -> None:
        super().__init__("microsocks")
        self.url = f"socks5h://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def command(self) -> Sequence[str]:
        return [program("microsocks"), "-i", "127.0.0.1", "-p", str(self.port)]


def own_authority(folder: Path) -> dict[str, Path]:
    """Make a certificate authority and, signed by it, a certificate for 127.0.0.1: paths of `ca`, `cert`, `key`."""
    openssl = program("openssl")
    config = folder / "openssl.cnf"
    config.write_text("""[req]
distinguished_name=dn
[dn]
[ca]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid:always
[server]
basicConstraints=critical,CA:FALSE
subjectAltName=IP:127.0.0.1,DNS:localhost
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid:always
""")
    paths = {name: folder / f"{name}.pem" for name in ("ca", "ca-key", "cert", "key")}
    common = [openssl, "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2", "-config", str(config)]
    by_ca = ["-CA", str(paths["ca"]), "-CAkey", str(paths["ca-key"])]
    for extensions, name, cert, key, signer in (
        ("ca", "/CN=rawlogs test authority", "ca", "ca-key", []),
        ("server", "/CN=localhost", "cert", "key", by_ca),
    ):
        out = ["-subj", name, "-out", str(paths[cert]), "-keyout", str(paths[key])]
        subprocess.run([*common, "-extensions", extensions, *out, *signer], check=True, capture_output=True)
    return paths
