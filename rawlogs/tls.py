"""How a server's certificate is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawlogs import files
from rawlogs.errors import ConfigError

if TYPE_CHECKING:
    import ssl


def context(cert_file: str | None, *, insecure: bool, origin: str) -> ssl.SSLContext:
    """Checks against the CA file and nothing else; without one against certifi's list and the system's.

    ``insecure`` checks neither certificate nor host name. ``origin`` says where the CA file was named.
    Raises ConfigError for a CA file that cannot be used.
    """
    import ssl  # not at the top: it is slow to load, and plain http never needs it

    if insecure:
        unchecked = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unchecked.check_hostname = False
        unchecked.verify_mode = ssl.CERT_NONE
        return unchecked
    if cert_file:
        try:
            files.refuse_special(cert_file, follow=True)  # OpenSSL would wait for a pipe for ever
            return ssl.create_default_context(cafile=cert_file)
        except OSError as error:
            cause = error
        problem = cause.strerror or str(cause)
        if isinstance(cause, ssl.SSLError):
            problem = "it holds no certificate in PEM format"
        raise ConfigError(
            f"The CA file {cert_file} ({origin}) cannot be used: {problem}.",
            setting="PREFECT_API_SSL_CERT_FILE",
            hint="PREFECT_API_SSL_CERT_FILE, else SSL_CERT_FILE, names a file of PEM certificates.",
        ) from cause
    import certifi

    trusting = ssl.create_default_context(cafile=certifi.where())
    trusting.load_default_certs()  # company CAs are in the system's list only
    return trusting
