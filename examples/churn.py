"""Customers who leave: numbers and categories of a telephone company.

python -m examples.churn [--small]
"""

import sys

from examples.stack import deploy_if_running
from lepton_ai.datasets import Churn
from lepton_ai.models import MLP

small = "--small" in sys.argv

train, test = Churn.split()
if small:
    train, test = train.shuffle()[:300], test.shuffle()[:100]
model = MLP()
model.fit(train, epochs=1 if small else 12, validation=None)
figures = model.evaluate(test).metrics
print(f"Held out: {figures['auc']:.3f} area under the curve, {figures['accuracy']:.1%} right")
model.save("churn.pth")

if client := deploy_if_running("churn.pth", "churn"):
    for row in range(3):
        print(test.target_values()[row], "is taken for", client.predict("churn", test.inputs(row)).labels[0])
    client.close()
