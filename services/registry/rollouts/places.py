"""What a rollout may come in beside, and what a rollback goes back to."""

from __future__ import annotations

from lepton_ai.errors import FailedPrecondition
from lepton_ai.references import PRODUCTION
from services.registry.database.store import Reading, VersionRecord
from services.registry.rollouts.record import State


def check_beside(version: VersionRecord, variant: str, served: int | None) -> int:
    """The version that is served, beside which a version, or a variant of it, may come in.

    `served`: None when none is. Raises FailedPrecondition.
    """
    model, number = version.model, version.version
    if served is None:
        raise FailedPrecondition(
            f"No version of {model} is served, so there is nothing to roll out beside.",
            reason="NOT_DEPLOYED",
            fix=f"Deploy it: `lepton deploy {model}@{number}`.",
        )
    if variant and served != number:
        raise FailedPrecondition(
            f"A variant comes in beside its own version, and of {model} version {served} is served.",
            reason="OTHER_VERSION",
            fix=f"Bring its version in first: `lepton deploy {model}@{number}`.",
        )
    if served == number and variant in ("", version.pinned):
        message = f"Version {number} of {model} has the production traffic already."
        if variant:
            message = f"Variant {variant} of {model}@{number} has the production traffic already."
        raise FailedPrecondition(message, reason="SAME_VERSION")
    return served


async def served_before(reading: Reading, model: str) -> tuple[int, str | None]:
    """The version that what is in production took the place of, and where that was the same, its variant ("": itself).

    Raises FailedPrecondition when there was none.
    """
    production = (await reading.aliases(model)).get(PRODUCTION)
    now = None if production is None else await reading.version(model, production)
    for rollout in await reading.rollouts(model) if now is not None else ():
        if rollout.state is not State.PROMOTED or rollout.version != production:
            continue
        if not rollout.is_within_version:
            return rollout.old_version, None
        if now is not None and rollout.variant == now.pinned:
            return rollout.version, rollout.old_variant
    raise FailedPrecondition(
        f"Nothing was served of {model} before what is served now.",
        reason="NOTHING_BEFORE",
        fix=f"Deploy a version: `lepton models {model}` shows them.",
    )
