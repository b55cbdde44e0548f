"""Signatures of OpenSSF model signing, by its own library, from `aprhub[sign]`."""

import json
from importlib.util import find_spec
from pathlib import Path

from aprhub.errors import (
    EnvironmentFailureError,
    InputError,
    ModelCheckError,
    TargetExistsError,
    UsageError,
)


def sign(path: Path, signature: Path, key: Path, *, force: bool = False) -> None:
    """Sign a model's file or folder with the private key in a PEM file.

    Raises UsageError for a signature that would lie in what it signs, TargetExistsError
    for one that exists, InputError for another key than one of the curves P-256, P-384
    and P-521 without a password, and for links to other files.
    """
    _require_library()
    if signature.resolve().is_relative_to(path.resolve()):
        raise UsageError(
            f"{signature}: it would lie in what it signs, and change it; write it"
            " elsewhere"
        )
    if signature.exists() and not force:
        raise TargetExistsError(signature)
    _require_key(key, private=True)
    from model_signing import signing

    config = signing.Config().use_elliptic_key_signer(private_key=key)
    try:
        config.sign(path, signature)
    except ValueError as error:
        what = f"cannot be signed: {_clause(error)}; put a file in its place"
        raise InputError(path, what) from error


def verify_signature(path: Path, signature: Path, key: Path) -> None:
    """Check that a file or folder is what the owner of a key signed.

    `key` is a PEM file with the public key. Raises ModelCheckError where the key is
    another one or the files differ, and InputError for what is no signature.
    """
    _require_library()
    _require_key(key, private=False)
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    config = verifying.Config().use_elliptic_key_verifier(public_key=key)
    try:
        config.verify(path, signature)
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            signature, "is no signature of a model; name one of 'aprhub sign create'"
        ) from error
    except InvalidSignature as error:
        raise ModelCheckError(
            path,
            f"{signature} was changed, or not made by the owner of {key}; get both"
            " again from who signed",
        ) from error
    except ValueError as error:
        raise ModelCheckError(
            path,
            f"is not what was signed: {_clause(error)}; get it again from who signed,"
            " or their key",
        ) from error


def _clause(error: Exception) -> str:
    """Return what the library says as a part of a sentence; it may show digests."""
    return str(error).rstrip(". ")[:200]


def _require_library() -> None:
    if find_spec("model_signing") is None or find_spec("OpenSSL") is None:
        what = "signatures need model-signing: pip install 'aprhub[sign]'"
        raise EnvironmentFailureError(what)


def _require_key(path: Path, *, private: bool) -> None:
    """Refuse what the library has no use for; its own errors do not name the file."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    kind = ec.EllipticCurvePrivateKey if private else ec.EllipticCurvePublicKey
    try:
        data = path.read_bytes()
        if private:
            key = serialization.load_pem_private_key(data, None)
        else:
            key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, kind) or key.curve.key_size not in (256, 384, 521):
        sort = "private key without a password" if private else "public key"
        raise InputError(
            path,
            f"expected a PEM file with a {sort}, of the curve P-256, P-384 or P-521;"
            " make a pair with 'openssl ecparam -name prime256v1 -genkey' and 'openssl"
            " ec -pubout'",
        )
