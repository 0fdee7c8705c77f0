"""Chinese reviews: is what a buyer writes praise or complaint?

python -m examples.chinese_reviews [--small]
"""

import sys

from examples.stack import deploy_if_running
from lepton_ai.datasets import ChineseReviews
from lepton_ai.models import TextClassifier

small = "--small" in sys.argv

train, test = ChineseReviews.split()
if small:
    train, test = train.shuffle()[:600], test.shuffle()[:100]
model = TextClassifier("cnn", level="char")
model.fit(train, epochs=1 if small else 4)
print("Held out:", model.evaluate(test))
model.save("chinese-reviews.pth")

texts = ["房间很干净，服务员也很热情，下次还会再来！", "屏幕有坏点，客服也不理人，太差了。"]
for text, answer in zip(texts, model.predict(texts), strict=True):
    print(text, answer.label)

if client := deploy_if_running("chinese-reviews.pth", "chinese-reviews"):
    for text in texts:
        print(text, "is taken for", client.predict("chinese-reviews", text).labels[0])
    client.close()
