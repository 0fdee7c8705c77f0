"""Methods and arrays that programs written for another library expect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from lepton_ai.errors import FailedPrecondition
from lepton_ai.models import CNN, MLP, Autoencoder
from lepton_ai.models.data import as_dataset
from tests.unit.models.served import assert_served_alike

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(90, 3)).astype(np.float32)
KINDS = np.array(["丙", "乙", "甲"])[np.arange(90) % 3]


@pytest.fixture(scope="module")
def classifier() -> MLP:
    model = MLP((8,))
    model.fit(X, KINDS, epochs=1, progress=False)
    return model


@pytest.fixture(scope="module")
def regression() -> MLP:
    model = MLP((8,))
    model.fit(X, X[:, :2] * [1, 100], epochs=30, learning_rate=0.02, progress=False)
    return model


def test_predictions_are_an_array_with_the_classes_in_order(classifier: MLP) -> None:
    answers = classifier.predict(X[:4])
    best = np.argmax(answers, axis=1)
    assert [classifier.classes_[number] for number in best] == [each.label for each in answers]
    assert answers.scores.shape == np.asarray(answers).shape == (4, 3)
    np.testing.assert_allclose(answers.scores.sum(axis=1), 1, rtol=1e-5)
    for answer in answers:
        for label in answer.labels:
            assert answer.scores[label.index] == pytest.approx(label.score, abs=1e-6)
    one = classifier.predict(X[0])
    assert np.argmax(one) == best[0]
    assert one.scores.shape == (3,)


def test_probabilities_have_a_row_an_example_also_of_one(classifier: MLP) -> None:
    assert classifier.predict_proba(X[:4]).shape == (4, 3)
    assert classifier.predict_proba(X[0]).shape == (1, 3)


def test_numbers_are_arrays_too_and_have_no_scores(regression: MLP) -> None:
    answers = regression.predict(X[:4])
    assert np.asarray(answers).shape == answers.values.shape == (4, 2)
    with pytest.raises(FailedPrecondition, match="no classes that could have scores"):
        answers.scores  # noqa: B018
    with pytest.raises(FailedPrecondition, match="no classes that could have scores"):
        regression.predict_proba(X[:4])
    assert not hasattr(regression, "classes_")


def test_the_score_is_what_scikit_learn_means_by_it(classifier: MLP, regression: MLP) -> None:
    right = [each.label == kind for each, kind in zip(classifier.predict(X), KINDS, strict=True)]
    assert classifier.score(X, KINDS) == pytest.approx(np.mean(right))
    assert 0.5 < regression.score(X, X[:, :2] * [1, 100]) <= 1
    watch = Autoencoder((4,), 2)
    watch.fit(X, epochs=1, progress=False)
    with pytest.raises(FailedPrecondition, match="no such score for anomaly_detection"):
        watch.score(X)


def test_weights_are_copies_by_place_and_by_name(classifier: MLP) -> None:
    weights, named = classifier.get_weights(), classifier.state_dict()
    assert [each.shape for each in weights] == [tuple(each.shape) for each in named.values()]
    weights[0][:] = 0
    assert classifier.state_dict()[next(iter(named))].abs().sum() > 0


def test_the_network_alone_is_written_as_onnx(classifier: MLP, tmp_path: Path) -> None:
    path = classifier.to_onnx(tmp_path / "new" / "m.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert classifier.pipeline is not None
    features = np.stack([classifier.pipeline.run({"x": x}).tensors["features"] for x in X[:3]])
    (logits,) = session.run(["logits"], {"features": features})
    np.testing.assert_allclose(logits, [each.outputs["logits"] for each in classifier.predict(X[:3])], atol=1e-4)
    with pytest.raises(FailedPrecondition, match="Call fit first"):
        MLP().to_onnx(tmp_path / "m.onnx")


def test_several_numbers_are_saved_and_served(regression: MLP, tmp_path: Path) -> None:
    assert_served_alike(regression, as_dataset(X, X[:, :2]), tmp_path)


def test_several_labels_are_saved_and_served(tmp_path: Path) -> None:
    tags = [[name for name, there in zip("红大新", row > 0, strict=True) if there] for row in X]
    model = MLP((16,))
    model.fit(X, tags, epochs=30, learning_rate=0.02, progress=False)
    assert model.evaluate(X, tags)["f1"] > 0.9
    clearest = int(np.argmax(np.abs(X).min(axis=1)))
    answer = model.predict(X[clearest])
    assert {label.name for label in answer.labels} == set(tags[clearest])
    assert model.classes_ == ("大", "新", "红")
    assert_served_alike(model, as_dataset(X, tags), tmp_path)


def test_numbers_of_pictures_are_learned_saved_and_served(tmp_path: Path) -> None:
    light = RANDOM.integers(20, 230, 48)
    pictures = np.broadcast_to(light[:, None, None, None], (48, 8, 8, 1)).astype(np.uint8)
    model = CNN((8, 8, 1), channels=(8,), dropout=0.0)
    model.fit(pictures, light / 2.0, epochs=12, batch_size=8, learning_rate=0.02, progress=False)
    assert model.score(pictures, light / 2.0) > 0.5
    assert_served_alike(model, as_dataset(pictures, light / 2.0), tmp_path)
