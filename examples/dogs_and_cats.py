"""Cats and dogs, from pictures to a served model: the first lines of the README.

    python -m examples.dogs_and_cats [--small]

With photos below LEPTON_DATA_DIR/dogs-and-cats it learns from these, else from drawings.
"""

import sys

from examples.stack import deploy_if_running
from lepton_ai.datasets import DogsAndCats
from lepton_ai.models import CNN

small = "--small" in sys.argv

train_data, test_data = DogsAndCats.split(train=60, test=20) if small else DogsAndCats.split()
model = CNN(input_shape=(128, 128, 3), num_classes=2)
model.fit(train_data, epochs=1 if small else 10, batch_size=32)
loss, accuracy = model.evaluate(test_data)
print(f"Test loss: {loss}, Test accuracy: {accuracy}")
model.save("cat_dog_classifier.pth")

if client := deploy_if_running("cat_dog_classifier.pth", "cats-dogs"):
    for row in range(3):
        answer = client.predict("cats-dogs", test_data.inputs(row)).labels[0]
        print(test_data.target_values()[row], "is taken for", answer)
    client.close()
