"""Versions are signed with key pairs and certificates, and only what was signed is verified."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from lepton_ai.errors import AlreadyExists, FailedPrecondition, InvalidInput, LeptonError
from lepton_ai.package import Package
from lepton_ai.signing import bundles
from lepton_ai.signing.keys import Curve, SigningKey, TrustedKeys, create_keys
from lepton_ai.signing.policy import Policy, SignatureCheck, verify_version
from lepton_ai.v1 import registry_pb2
from tests.sample_packages import onnx_package
from tests.unit.signing.authority import make_authority


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return onnx_package(tmp_path / "package", files={"标签.txt": "猫\n狗\n".encode()})


@pytest.fixture
def keys(tmp_path: Path) -> tuple[SigningKey, TrustedKeys]:
    private, public = create_keys(tmp_path / "release.key")
    return SigningKey(private), TrustedKeys((public,))


class TestKeys:
    def test_only_its_owner_may_read_a_private_key(self, tmp_path: Path) -> None:
        private, public = create_keys(tmp_path / "keys/release.key")
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
        assert b"PRIVATE" not in public.read_bytes()

    @pytest.mark.parametrize("taken", ["release.key", "release.key.pub"])
    def test_a_key_is_never_replaced(self, tmp_path: Path, taken: str) -> None:
        (tmp_path / taken).write_text("mine")
        with pytest.raises(AlreadyExists):
            create_keys(tmp_path / "release.key")
        assert [path.name for path in tmp_path.iterdir()] == [taken]

    @pytest.mark.parametrize("curve", ["P-256", "P-384"])
    def test_both_curves_sign(self, tmp_path: Path, package: Package, curve: Curve) -> None:
        private, public = create_keys(tmp_path / "key", curve=curve)
        bundle = bundles.sign(package.manifest(), 1, SigningKey(private))
        assert bundles.verify(bundle, TrustedKeys((public,))).signer.startswith("key ")

    def test_an_encrypted_key_needs_its_password(self, tmp_path: Path, package: Package) -> None:
        private, public = create_keys(tmp_path / "key", password="geheim")
        with pytest.raises(FailedPrecondition, match="cannot be signed with"):
            bundles.sign(package.manifest(), 1, SigningKey(private))
        with pytest.raises(FailedPrecondition, match="cannot be signed with"):
            bundles.sign(package.manifest(), 1, SigningKey(private, "falsch"))
        bundle = bundles.sign(package.manifest(), 1, SigningKey(private, "geheim"))
        assert bundles.verify(bundle, TrustedKeys((public,)))

    def test_a_password_is_never_shown(self) -> None:
        assert "geheim" not in repr(SigningKey(Path("key"), "geheim"))

    @pytest.mark.parametrize(
        "content", [b"", b"\xff\xfe", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
    )
    def test_what_is_no_key_is_named(self, tmp_path: Path, package: Package, content: bytes) -> None:
        (tmp_path / "broken.key").write_bytes(content)
        with pytest.raises(FailedPrecondition, match=r"broken\.key cannot be signed with"):
            bundles.sign(package.manifest(), 1, SigningKey(tmp_path / "broken.key"))

    def test_to_verify_something_must_be_trusted(self, tmp_path: Path) -> None:
        for setting in ("", str(tmp_path), str(tmp_path / "missing.pub")):
            with pytest.raises(FailedPrecondition) as caught:
                SignatureCheck.of("require", setting)
            assert caught.value.reason == "NO_TRUSTED_KEYS"
        assert not SignatureCheck.of("none", "").is_active

    def test_a_folder_may_hold_many_keys_and_gets_new_ones_while_a_service_runs(
        self, tmp_path: Path, package: Package
    ) -> None:
        create_keys(tmp_path / "trusted/first")
        trusted = TrustedKeys.of(str(tmp_path / "trusted"))
        private, public = create_keys(tmp_path / "second")
        bundle = bundles.sign(package.manifest(), 1, SigningKey(private))
        with pytest.raises(FailedPrecondition):
            bundles.verify(bundle, trusted)
        public.rename(tmp_path / "trusted" / public.name)
        assert bundles.verify(bundle, trusted).subject == "doubler@1"


class TestBinding:
    def test_a_signature_names_model_version_and_every_file(
        self, package: Package, keys: tuple[SigningKey, TrustedKeys]
    ) -> None:
        signed = bundles.verify(bundles.sign(package.manifest(), 7, keys[0]), keys[1])
        assert signed.subject == "doubler@7"
        assert signed.files == {path: file.sha256 for path, file in package.files.items()}

    def test_any_other_version_model_or_file_is_refused(
        self, package: Package, keys: tuple[SigningKey, TrustedKeys]
    ) -> None:
        key, trusted = keys
        manifest = package.manifest()
        bundle = bundles.sign(manifest, 7, key)
        assert verify_version("doubler", 7, manifest, bundle, trusted)
        assert reason("doubler", 8, manifest, bundle, trusted) == "SIGNATURE_OF_ANOTHER"
        assert reason("halver", 7, manifest, bundle, trusted) == "SIGNATURE_OF_ANOTHER"
        assert reason("doubler", 7, manifest, None, trusted) == "SIGNATURE_MISSING"
        for changed in changes(manifest):
            assert reason("doubler", 7, changed, bundle, trusted) == "SIGNATURE_OF_OTHER_FILES"

    def test_a_signature_of_somebody_else_is_refused(
        self, tmp_path: Path, package: Package, keys: tuple[SigningKey, TrustedKeys]
    ) -> None:
        other, _ = create_keys(tmp_path / "other")
        bundle = bundles.sign(package.manifest(), 1, SigningKey(other))
        assert reason("doubler", 1, package.manifest(), bundle, keys[1]) == "SIGNATURE_NOT_TRUSTED"

    @pytest.mark.parametrize("place", range(40, 1000, 97))
    def test_one_flipped_bit_is_never_verified(
        self, package: Package, keys: tuple[SigningKey, TrustedKeys], place: int
    ) -> None:
        bundle = bundles.sign(package.manifest(), 1, keys[0])
        flipped = bundle[:place] + bytes([bundle[place] ^ 1]) + bundle[place + 1 :]
        with pytest.raises(LeptonError):
            verify_version("doubler", 1, package.manifest(), flipped, keys[1])

    @pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"null", b'{"dsseEnvelope": 5}', b"{" * 5000])
    def test_what_is_no_signature_is_said_to_be_none(
        self, keys: tuple[SigningKey, TrustedKeys], content: bytes
    ) -> None:
        with pytest.raises(InvalidInput, match="is no signature"):
            bundles.verify(content, keys[1])

    def test_the_reference_implementation_verifies_ours(
        self, package: Package, keys: tuple[SigningKey, TrustedKeys], tmp_path: Path
    ) -> None:
        from model_signing.verifying import Config

        (tmp_path / "model.sig").write_bytes(bundles.sign(package.manifest(), 1, keys[0]))
        config = Config().use_elliptic_key_verifier(public_key=keys[1].paths[0])  # type: ignore[no-untyped-call]
        config.verify(package.directory, tmp_path / "model.sig")
        (package.directory / "added.txt").write_text("x")
        with pytest.raises(ValueError, match="Extra files"):
            config.verify(package.directory, tmp_path / "model.sig")


class TestCertificates:
    def test_a_chain_to_a_trusted_authority_is_verified(self, tmp_path: Path, package: Package) -> None:
        authority, key = make_authority(tmp_path, "Release Team")
        bundle = bundles.sign(package.manifest(), 2, key)
        signer = verify_version("doubler", 2, package.manifest(), bundle, TrustedKeys((authority,)))
        assert signer == "CN=Release Team"

    def test_a_chain_to_another_authority_is_refused(self, tmp_path: Path, package: Package) -> None:
        _, key = make_authority(tmp_path / "a", "Release Team")
        other, _ = make_authority(tmp_path / "b", "Release Team")
        bundle = bundles.sign(package.manifest(), 2, key)
        assert reason("doubler", 2, package.manifest(), bundle, TrustedKeys((other,))) == "SIGNATURE_NOT_TRUSTED"

    def test_a_certificate_of_another_key_does_not_sign(self, tmp_path: Path, package: Package) -> None:
        _, key = make_authority(tmp_path / "a", "Release Team")
        private, _ = create_keys(tmp_path / "key")
        with pytest.raises(FailedPrecondition, match="cannot be signed with"):
            bundles.sign(package.manifest(), 2, SigningKey(private, certificate=key.certificate))


class TestPolicy:
    @pytest.mark.parametrize("policy", ["none", "warn"])
    def test_unsigned_versions_pass_unless_signatures_are_required(
        self, package: Package, keys: tuple[SigningKey, TrustedKeys], policy: Policy
    ) -> None:
        assert SignatureCheck(policy, keys[1]).check("doubler", 1, package.manifest(), None) == ""

    def test_a_warning_says_what_is_wrong(
        self, package: Package, keys: tuple[SigningKey, TrustedKeys], caplog: pytest.LogCaptureFixture
    ) -> None:
        SignatureCheck("warn", keys[1]).check("doubler", 1, package.manifest(), None)
        assert "doubler@1 is not signed" in caplog.text

    def test_required_signatures_are_required(self, package: Package, keys: tuple[SigningKey, TrustedKeys]) -> None:
        check = SignatureCheck("require", keys[1])
        with pytest.raises(FailedPrecondition, match="is not signed"):
            check.check("doubler", 1, package.manifest(), None)
        assert check.check("doubler", 1, package.manifest(), bundles.sign(package.manifest(), 1, keys[0]))


def reason(
    model: str, version: int, manifest: registry_pb2.Manifest, bundle: bytes | None, trusted: TrustedKeys
) -> str | None:
    with pytest.raises(FailedPrecondition) as caught:
        verify_version(model, version, manifest, bundle, trusted)
    assert caught.value.fix
    return caught.value.reason


def changes(manifest: registry_pb2.Manifest) -> list[registry_pb2.Manifest]:
    """The same with a file changed, added, removed, and with two swapped."""
    changed, added, removed, swapped = (
        registry_pb2.Manifest.FromString(manifest.SerializeToString()) for _ in range(4)
    )
    changed.files[0].sha256 = "0" * 64
    added.files.add(path="more.bin", size_bytes=1, sha256="1" * 64)
    del removed.files[-1]
    swapped.files[0].sha256, swapped.files[1].sha256 = swapped.files[1].sha256, swapped.files[0].sha256
    return [changed, added, removed, swapped]
