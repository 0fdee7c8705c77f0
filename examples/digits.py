"""Handwritten digits: a CNN on a sample of MNIST, tested on digits that it has not seen.

python -m examples.digits [--small]
"""

import sys

from examples.stack import deploy_if_running
from lepton_ai.datasets import Digits
from lepton_ai.models import CNN

small = "--small" in sys.argv

train, test = Digits.split()
if small:
    train, test = train.shuffle()[:400], test.shuffle()[:100]
model = CNN((28, 28, 1), 10)
model.fit(train, epochs=1 if small else 12, schedule="one_cycle", learning_rate=3e-3, validation=None)
loss, accuracy = model.evaluate(test)
print(f"Right about {accuracy:.1%} of {len(test)} digits that it had not seen; loss {loss:.3f}.")
model.save("digits.pth")

if client := deploy_if_running("digits.pth", "digits"):
    for row in range(3):
        print(test.target_values()[row], "is taken for", client.predict("digits", test.inputs(row)).labels[0])
    client.close()
