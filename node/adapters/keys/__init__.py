"""Private keys: kept in keystore v3 files, used behind `ports.Signer`, shown nowhere (threat K1)."""

from node.adapters.keys.keystore import create_keystore, load_keystore, read_password
from node.adapters.keys.secret import Secret
from node.adapters.keys.signer import LocalSigner, recover

__all__ = ["LocalSigner", "Secret", "create_keystore", "load_keystore", "read_password", "recover"]
