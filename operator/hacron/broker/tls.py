"""TLS to the broker: whose certificates are believed, which one we show, and whether we are known by it.

The files are read at each connection, so that certificates that have been renewed need no restart.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from hacron.ports import BrokerUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files in PEM form. Without an authority, those that this machine trusts; without a certificate, none is shown."""

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    user: str = ""  # whom the broker takes us for by the certificate, without a password; empty: whom the URL names

    def context(self) -> ssl.SSLContext:
        """Return what checks the broker's certificate and host name. Raises BrokerUnavailable, which names the setting."""
        try:
            context = ssl.create_default_context(cafile=self.authority)
        except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
            raise BrokerUnavailable(f"HACRON_BROKER_CA_FILE ({self.authority}) {_unread(error, 'certificates')}") from None
        if self.certificate is not None:
            try:
                # Never asked for at a terminal: a key with a password is one that cannot be read.
                context.load_cert_chain(self.certificate, self.key, password="")
            except (OSError, ValueError) as error:
                where = f"HACRON_BROKER_CERT_FILE ({self.certificate}) and HACRON_BROKER_KEY_FILE ({self.key})"
                raise BrokerUnavailable(f"{where} {_unread(error, 'a certificate and its key')}") from None
        return context


def _unread(error: OSError | ValueError, what: str) -> str:
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError):
        return f"cannot be read: {error.strerror}"
    return f"must hold {what} in PEM form, without a password"
