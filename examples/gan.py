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

small = "--small" in sys.argv

train, test = Digits.split()
if small:
    train = train.shuffle()[:300]
judge = CNN((28, 28, 1), 10)
judge.fit(train, epochs=1 if small else 6)
model = GAN((28, 28, 1))
model.fit(train, epochs=1 if small else 20)
model.save("digit-painter.pth")

pictures = [png(picture[:, :, 0]) for picture in model.sample(20 if small else 1000)]
Path("digit.png").write_bytes(pictures[0])
answers = [answer.labels[0] for answer in judge.predict([{"image": picture} for picture in pictures])]
sure = sum(answer.score > 0.9 for answer in answers) / len(answers)
print(f"The judge is sure of {sure:.0%} of the drawn digits: {dict(sorted(Counter(a.name for a in answers).items()))}")

if client := deploy_if_running("digit-painter.pth", "digit-painter"):
    answer = client.predict_batch("digit-painter", [{"seed": 1}])
    print("A picture from the platform:", answer.tensors["picture"].shape)
    client.close()
