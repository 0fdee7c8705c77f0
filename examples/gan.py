"""New handwritten digits that nobody wrote: a GAN learns to draw them, and a classifier judges what it draws.

python -m examples.gan [--small]
"""

import sys
from collections import Counter
from pathlib import Path

from examples.stack import deploy_if_running
from lepton_ai.datasets import Digits
from lepton_ai.datasets.ready.pictures import png
from lepton_ai.models import CNN, GAN
from lepton_ai.pipeline import RawValue

small = "--small" in sys.argv

train, test = Digits.split()
if small:
    train = train.shuffle()[:300]
judge = CNN((28, 28, 1), 10)
judge.fit(train, epochs=1 if small else 6)
model = GAN((28, 28, 1))
model.fit(train, epochs=1 if small else 20)
model.save("digit-painter.pth")


def judged(pictures: list[RawValue]) -> tuple[float, Counter[str]]:
    """Of how many the judge is sure, and what it takes them for."""
    labels = [answer.labels[0] for answer in judge.predict([{"image": picture} for picture in pictures])]
    return sum(label.score > 0.9 for label in labels) / len(labels), Counter(label.name for label in labels)


sample = [png(picture[:, :, 0]) for picture in model.sample(20 if small else 1000)]
Path("digit.png").write_bytes(sample[0])
real, _ = judged([row["image"] for row in test.rows()])
drawn, digits = judged(list(sample))
print(f"The judge is sure of {real:.0%} of real digits, of {drawn:.0%} of drawn ones: {dict(sorted(digits.items()))}")

if client := deploy_if_running("digit-painter.pth", "digit-painter"):
    answer = client.predict_batch("digit-painter", [{"seed": 1}])
    print("A picture from the platform:", answer.tensors["picture"].shape)
    client.close()
