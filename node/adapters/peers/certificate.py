"""The certificate of this node's own endpoint, from the PEM file that its TLS server uses; read again when renewed."""

import ssl
from pathlib import Path

from node.core.errors import BadConfig

_END = "-----END CERTIFICATE-----"


class CertificateFile:
    """The first certificate of a PEM file (a chain's leaf comes first). None: this node is reached without TLS."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read_at = 0.0
        self._found: bytes | None = None
        if path is not None:
            self.read()

    def read(self) -> bytes | None:
        """DER. Raises BadConfig when the file is not there or holds no certificate."""
        if self._path is None:
            return None
        try:
            changed_at = self._path.stat().st_mtime
            if self._found is None or changed_at != self._read_at:
                head, end, _ = self._path.read_text(encoding="ascii").partition(_END)
                self._found, self._read_at = ssl.PEM_cert_to_DER_cert(head + end), changed_at
        except (OSError, ValueError) as exc:
            raise BadConfig(f"tls_certificate: {self._path} holds no certificate: {exc}") from exc
        return self._found
