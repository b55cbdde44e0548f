"""`aprhub manifest` and `aprhub sign`, judged by the library of the standard."""

import base64
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from attrs import frozen

from tests.unit.cli.conftest import Models
from tests.unit.cli.program import refused, run, succeed


def test_a_manifest_lists_every_file_and_the_model(folder: Path, apr: Path) -> None:
    found = succeed("manifest", folder, "--json").json

    files = {each["name"]: (each["sha256"], each["nbytes"]) for each in found["files"]}
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert files == {
        name: (hashlib.sha256(data).hexdigest(), len(data))
        for name, data in contents.items()
    }
    assert found["model"] == succeed("manifest", apr, "--json").json["model"]
    assert found["model"] == succeed("hash", folder, "--json").json["model"]


def test_all_parts_of_a_split_model_are_in_its_manifest(
    gguf: Path, tmp_path: Path
) -> None:
    succeed("convert", gguf, tmp_path / "m.gguf", "--shard-size", "100K")
    parts = sorted(path.name for path in tmp_path.iterdir())

    listed = succeed("manifest", tmp_path / parts[0], "--json").json["files"]

    assert len(parts) > 1
    assert [each["name"] for each in listed] == parts


@frozen
class Keys:
    private: Path
    public: Path

    @classmethod
    def made(cls, folder: Path, name: str) -> "Keys":
        from cryptography.hazmat.primitives import serialization as forms
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        keys = cls(folder / f"{name}.pem", folder / f"{name}.pub")
        pem = forms.Encoding.PEM
        private = forms.PrivateFormat.PKCS8, forms.NoEncryption()
        public = forms.PublicFormat.SubjectPublicKeyInfo
        keys.private.write_bytes(key.private_bytes(pem, *private))
        keys.public.write_bytes(key.public_key().public_bytes(pem, public))
        return keys


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys.made(tmp_path, "key")


@pytest.fixture
def model(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "model")


@pytest.mark.parametrize("suffix", [".gguf", ".apr", ""])
def test_what_was_signed_is_verified_by_the_library_too(
    suffix: str, keys: Keys, models: Models, tmp_path: Path
) -> None:
    from model_signing import verifying

    path, signature = models.file("llama", suffix), tmp_path / "s.sig"

    succeed("sign", "create", path, "-o", signature, "--key", keys.private)

    config = verifying.Config().use_elliptic_key_verifier(public_key=keys.public)
    config.verify(path, signature)
    succeed("sign", "verify", path, signature, "--key", keys.public)
    envelope = json.loads(signature.read_text())["dsseEnvelope"]
    (subject,) = json.loads(base64.b64decode(envelope["payload"]))["subject"]
    root = succeed("manifest", path, "--json").json["root"]
    assert subject["digest"] == {"sha256": root}


def test_the_root_is_that_of_the_library_for_nested_files(
    keys: Keys, model: Path
) -> None:
    from model_signing import hashing

    for name in ("a/b", "a-b", "a.b", "A", ".gitignore", ".git/config"):
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text(name)

    listed = succeed("manifest", model, "--json").json["files"]

    theirs = hashing.hash(model).resource_descriptors()
    assert [(each["name"], each["sha256"]) for each in listed] == [
        (each.identifier, each.digest.digest_hex) for each in theirs
    ]


def test_a_changed_or_added_file_is_found(
    keys: Keys, model: Path, tmp_path: Path
) -> None:
    signature = tmp_path / "s.sig"
    succeed("sign", "create", model, "-o", signature, "--key", keys.private)
    (model / "more.txt").write_text("more")

    words = ("sign", "verify", model, signature, "--key", keys.public)

    assert "more.txt" in refused(1, *words)
    (model / "more.txt").unlink()
    (model / "config.json").write_text("{}")
    assert "config.json" in refused(1, *words)


def test_another_key_did_not_sign(keys: Keys, gguf: Path, tmp_path: Path) -> None:
    signature, other = tmp_path / "s.sig", Keys.made(tmp_path, "other")
    succeed("sign", "create", gguf, "-o", signature, "--key", keys.private)

    words = ("sign", "verify", gguf, signature, "--key")

    assert "Key mismatch" in refused(1, *words, other.public)
    bundle = json.loads(signature.read_text())
    forged = base64.b64encode(bytes(70)).decode()
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = forged
    signature.write_text(json.dumps(bundle))
    assert "was changed" in refused(1, *words, keys.public)


@pytest.mark.parametrize("text", ["", "{}", "[]", "no JSON", "\xff"])
def test_what_is_no_signature_is_said(
    text: str, keys: Keys, gguf: Path, tmp_path: Path
) -> None:
    signature = tmp_path / "s.sig"
    signature.write_bytes(text.encode("latin-1"))

    complaint = refused(3, "sign", "verify", gguf, signature, "--key", keys.public)

    assert f"{signature}: is no signature of a model" in complaint


def test_keys_of_another_kind_are_refused(
    keys: Keys, gguf: Path, tmp_path: Path
) -> None:
    words = ("sign", "create", gguf, "-o", tmp_path / "s.sig", "--key")

    assert "private key without a password" in refused(3, *words, keys.public)
    assert not (tmp_path / "s.sig").exists()


def test_a_signature_is_neither_overwritten_nor_put_into_what_it_signs(
    keys: Keys, model: Path, tmp_path: Path
) -> None:
    signature = tmp_path / "s.sig"
    signature.write_text("precious")
    words = ("sign", "create", model, "--key", keys.private, "-o")

    assert "--force" in refused(2, *words, signature)
    assert "write it elsewhere" in refused(2, *words, model / "s.sig")
    assert signature.read_text() == "precious"
    succeed(*words, signature, "--force")


def test_one_part_of_a_split_model_is_not_signed_for_all(
    keys: Keys, gguf: Path, tmp_path: Path
) -> None:
    split = tmp_path / "split"
    split.mkdir()
    succeed("convert", gguf, split / "m.gguf", "--shard-size", "100K")
    first = min(split.iterdir())

    done = run("sign", "create", first, "-o", tmp_path / "s", "--key", keys.private)

    assert done.code == 2
    assert "sign a folder that holds them" in done.err
