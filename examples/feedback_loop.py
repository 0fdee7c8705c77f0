"""The closed loop: a model with a flaw is served, users correct it, and the next version has learned from them.

python -m examples.feedback_loop
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import lepton_ai as la
from examples.stack import client_if_running
from lepton_ai.datasets import Dataset, Digits
from lepton_ai.models import CNN
from lepton_ai.v1 import feedback_pb2, registry_pb2

NAME = "digits-from-feedback"
USERS, LABELS_EACH = 10, 30
KEEP = {"keep_inputs": True, "sample": 1.0, "below_score": 0.5, "retention": "30d"}
"""Every input may be kept, as these digits belong to nobody; else a tenth is a good beginning."""
WAIT_S = 60.0


def main() -> None:
    """Go around the loop once."""
    client = client_if_running()
    if client is None:
        sys.exit(1)
    with client:
        train, world = Digits.split(collection="scikit-learn")[0].split(0.5, seed=1)
        rare = [str(digit) in "89" for digit in train.target_values()]
        flawed = train.filter([not is_rare or row % 20 == 0 for row, is_rare in enumerate(rare)])
        print(f"Version 1 learns from {len(flawed)} digits, among which there are hardly any 8 and 9.")
        version = push(client, learn(flawed))
        client.deploy(f"{NAME}@{version}")

        half = len(world) // 2
        users_correct(client, world[:half])
        before = quality_of(client, version)
        print(f"Users say that version {version} is right in {share(before)}; it takes {mistakes(before)}.")

        corrections = la.datasets.from_feedback(NAME, target="digit", origin=False, most_per_user=LABELS_EACH)
        print(f"They gave {len(corrections)} labels with their digits: {corrections.source_lineage.source}.")
        better = push(client, learn(Dataset.concat([flawed, corrections])))
        client.start_rollout(f"{NAME}@{better}", [50], step_s=2.0, bake_s=0.0, judged=False)
        users_correct(client, world[half:], until=f"{NAME}@{better}")
        after = quality_of(client, better)
        print(f"Users say that version {better} is right in {share(after)}.")


def learn(data: Dataset) -> CNN:
    """A small network that has seen these digits."""
    model = CNN((8, 8, 1), 10)
    model.fit(data, epochs=8, schedule="one_cycle", learning_rate=3e-3, validation=None)
    return model


def push(client: la.Client, model: CNN) -> int:
    """The number of the new version."""
    with tempfile.TemporaryDirectory() as folder:
        model.package(Path(folder) / NAME, name=NAME, feedback=KEEP)
        return client.push(Path(folder) / NAME).version


def users_correct(client: la.Client, digits: Dataset, *, until: str = "") -> None:
    """Users send digits and say what they are; with `until` after the rollout has brought in that version."""
    if until:
        wait_for_rollout(client, digits)
    for number in range(USERS):
        user = f"user {number}"
        drawn = digits[number * LABELS_EACH : (number + 1) * LABELS_EACH]
        if not len(drawn):
            break
        answer = client.predict_batch(NAME, drawn, routing_key=user)
        truths = [str(digit) for digit in drawn.target_values()]
        client.submit_feedbacks(
            [(said, {"label": truth, "user": user}) for said, truth in zip(answer.predictions, truths, strict=True)]
        )


def wait_for_rollout(client: la.Client, digits: Dataset) -> None:
    """Users go on while the new version comes in, first to half of them."""
    end_s = time.monotonic() + WAIT_S
    row = 0
    while client.rollouts(NAME)[0].state != registry_pb2.ROLLOUT_STATE_PROMOTED:
        if time.monotonic() > end_s:
            sys.exit("The rollout has not come to its end.")
        client.predict(NAME, digits.inputs(row % len(digits)), routing_key=f"user {row % USERS}")
        row += 1
        time.sleep(0.05)


def quality_of(client: la.Client, version: int) -> feedback_pb2.VersionQuality:
    """What users say of a version, when the last of their labels has been joined with its prediction."""
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s:
        waiting = any(each.state != feedback_pb2.FEEDBACK_STATE_JOINED for each in client.feedback(limit=1000))
        found = next((each for each in client.quality(NAME) if each.version == version), None)
        if found is not None and not waiting:
            return found
        time.sleep(0.5)
    sys.exit("Nobody has said anything that counts.")


def share(quality: feedback_pb2.VersionQuality) -> str:
    """Such as "80.3% (75.2% to 84.6%) of 260"."""
    low, high = quality.accuracy_low, quality.accuracy_high
    return f"{quality.right / quality.labelled:.1%} ({low:.1%} to {high:.1%}) of {quality.labelled}"


def mistakes(quality: feedback_pb2.VersionQuality) -> str:
    """Such as "9 for 7"."""
    return ", ".join(f"{each.label} for {each.predicted}" for each in quality.confusions[:3])


if __name__ == "__main__":
    main()
