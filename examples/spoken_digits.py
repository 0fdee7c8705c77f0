"""Spoken digits: learned from synthetic voices, tested on recordings of a person.

python -m examples.spoken_digits [--small]

Without the recordings (apt-get install asterisk-core-sounds-en-wav) it is tested on synthetic voices of its own.
"""

import sys

from examples.stack import deploy_if_running
from lepton_ai.datasets import SpokenDigits
from lepton_ai.errors import NotFound
from lepton_ai.models import KeywordSpotter

small = "--small" in sys.argv

clips = 200 if small else 4000
train, voices = SpokenDigits.split(count=clips, test="voices")
model = KeywordSpotter()
model.fit(train, epochs=1 if small else 12)
print("Voices that it has not heard:", model.evaluate(voices))
try:
    test = SpokenDigits.recordings()
    print("A person, ten clips:", model.evaluate(test))
except NotFound as missing:
    test = voices
    print(missing)
model.save("spoken-digits.pth")

if client := deploy_if_running("spoken-digits.pth", "spoken-digits"):
    for row in range(3):
        heard = client.predict("spoken-digits", test.inputs(row)).labels[0]
        print(test.target_values()[row], "is taken for", heard)
    client.close()
