"""Pictures of clothes in ten classes: a CNN on Fashion-MNIST.

    python -m examples.fashion_mnist [--small]

The pictures come from a Debian package (apt-get install dataset-fashion-mnist) or from LEPTON_DATA_DIR/fashion-mnist.
"""

import sys

from examples.stack import deploy_if_running
from lepton_ai.datasets import FashionMNIST
from lepton_ai.models import CNN

small = "--small" in sys.argv

train, test = FashionMNIST.split()
if small:
    train, test = train[:300], test[:100]
model = CNN((28, 28, 1), 10)
model.fit(train, epochs=1 if small else 3, batch_size=64, validation=None)
loss, accuracy = model.evaluate(test)
print(f"Right about {accuracy:.1%} of {len(test)} pictures that it had not seen; loss {loss:.3f}.")
model.save("fashion-mnist.pth")

if client := deploy_if_running("fashion-mnist.pth", "fashion-mnist"):
    for row in range(3):
        print(test.target_values()[row], "is taken for", client.predict("fashion-mnist", test.inputs(row)).labels[0])
    client.close()
