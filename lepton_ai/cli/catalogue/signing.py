"""`lepton keys`, `lepton sign` and `lepton verify`: who vouches for a version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lepton_ai.cli.output import home_option, json_option, print_json, print_note
from lepton_ai.cli.platform import client_for

if TYPE_CHECKING:
    from lepton_ai.signing.keys import Curve, SigningKey

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def keys() -> None:
    """Make key pairs that versions are signed with."""


@keys.command(epilog="Examples: lepton keys create release.key · lepton keys create release.key --encrypt")
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--curve", type=click.Choice(["P-256", "P-384"]), default="P-256", show_default=True)
@click.option("--encrypt", is_flag=True, help="Ask for a password, or take LEPTON_SIGNING_PASSWORD.")
def create(path: Path, *, curve: Curve, encrypt: bool) -> None:
    """Write a private key to PATH, readable for you alone, and its public key to PATH.pub.

    Sign with the private one: lepton push --sign PATH. Give the public one to registry and inference, in
    LEPTON_SIGNATURE_KEYS, and set LEPTON_SIGNATURES=require there.
    """
    from lepton_ai.signing.keys import create_keys

    password = ""
    if encrypt:
        given = os.environ.get("LEPTON_SIGNING_PASSWORD", "")
        password = given or click.prompt("Password", hide_input=True, confirmation_prompt=True)
    private, public = create_keys(path, curve=curve, password=password)
    click.echo(f"The private key is in {private}, the public key in {public}.")
    print_note("Keep the private key to yourself: whoever has it signs in your name.")


@click.command(epilog="Examples: lepton sign resnet@3 --key release.key · lepton sign resnet@3 ./resnet")
@click.argument("model")
@click.argument("directory", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--key", type=_FILE, help="The private key.  [env: LEPTON_SIGNING_KEY]")
@click.option(
    "--certificate", type=_FILE, help="Its certificate and those above it.  [env: LEPTON_SIGNING_CERTIFICATE]"
)
@json_option
@home_option
def sign(
    model: str, directory: Path | None, *, key: Path | None, certificate: Path | None, as_json: bool, home: Path
) -> None:
    """Sign MODEL in the registry (NAME: its newest version, NAME@VERSION, NAME@ALIAS or NAME@VERSION+VARIANT).

    With the package in DIRECTORY, that is what is signed, and it must be the version's; without it, the registry is
    trusted to say what the version's files are.
    """
    found = signing_key(key, certificate)
    if found is None:
        raise click.UsageError(
            "Name the private key: --key FILE, or LEPTON_SIGNING_KEY. `lepton keys create` makes one."
        )
    with client_for(home) as client:
        signature = client.sign(model, found, directory=directory)
    if as_json:
        document = {"model": signature.model, "version": signature.version, "signer": signature.signer}
        document |= {"variant": signature.variant} if signature.variant else {}
        print_json({**document, "verified": signature.verified, "signed_at": signature.signed_at.ToJsonString()})
        return
    variant = f"+{signature.variant}" if signature.variant else ""
    click.echo(f"{signature.model}@{signature.version}{variant} is signed by {signature.signer}.")
    if not signature.verified:
        print_note("The registry does not verify signatures, or does not trust this key: see LEPTON_SIGNATURES there.")


@click.command(epilog="Example: lepton verify resnet@3 --keys release.key.pub")
@click.argument("model")
@click.option(
    "--keys",
    required=True,
    envvar="LEPTON_SIGNATURE_KEYS",
    show_envvar=True,
    help="PEM files, and folders of them, with public keys and certificates of authorities; ':' between them.",
)
@json_option
@home_option
def verify(model: str, *, keys: str, as_json: bool, home: Path) -> None:
    """Say who has signed MODEL, if it is one of KEYS; end with 1 when nobody has."""
    from lepton_ai.signing.keys import TrustedKeys

    trusted = TrustedKeys.of(keys)
    trusted.check()
    with client_for(home) as client:
        signer = client.verify(model, trusted)
    print_json({"model": model, "signer": signer}) if as_json else click.echo(f"{model} is signed by {signer}.")


def signing_key(path: Path | None, certificate: Path | None = None) -> SigningKey | None:
    """The key that an option names, else that of LEPTON_SIGNING_KEY."""
    from dataclasses import replace

    from lepton_ai.signing.keys import SigningKey

    found = SigningKey.find(path, os.environ)
    return found if found is None or certificate is None else replace(found, certificate=certificate)
