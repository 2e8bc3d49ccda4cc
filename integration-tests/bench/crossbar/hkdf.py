"""HKDF (RFC 5869), by the cryptography package.

A package that Crossbar.io imports wants a module of this name, of which there is only a source
package; here only wheels are installed. Nothing that is measured calls it.
"""

import hashlib

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

_ALGORITHMS = {
    hashlib.sha256: hashes.SHA256,
    hashlib.sha384: hashes.SHA384,
    hashlib.sha512: hashes.SHA512,
}


class Hkdf:
    """A key that others are made of."""

    def __init__(self, salt, input_key_material, hash=hashlib.sha256):
        self._algorithm = _ALGORITHMS[hash]()
        self._prk = HKDF.extract(self._algorithm, salt, input_key_material)

    def expand(self, info=b"", length=32):
        """A key of so many bytes, for what `info` says."""
        return HKDFExpand(self._algorithm, length, info).derive(self._prk)
