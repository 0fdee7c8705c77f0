"""Anomalies among sensor readings of the space shuttle: an autoencoder that has seen normal readings only.

python -m examples.anomalies [--small]
"""

import sys

from examples.stack import deploy_if_running
from lepton_ai.datasets import Shuttle
from lepton_ai.models import Autoencoder

small = "--small" in sys.argv

train, test = Shuttle.split()
if small:
    train, test = train.shuffle()[:4000], test.shuffle()[:1000]
model = Autoencoder(normal="normal")  # rows of every other class are left out of training
model.fit(train, epochs=2 if small else 10, batch_size=256)
loss, auc = model.evaluate(test)
print(f"AUC {auc:.4f}, F1 {model.evaluate(test).metrics['f1']:.3f} at the threshold {model.threshold:.3f}.")
model.save("anomalies.pth")

if client := deploy_if_running("anomalies.pth", "anomalies"):
    for row in range(5):
        print(test.target_values()[row], "is taken for", client.predict("anomalies", test.inputs(row)).labels[0])
    client.close()
