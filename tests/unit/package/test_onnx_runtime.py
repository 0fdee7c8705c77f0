"""ONNX Runtime's refusals, in the words that the real one uses, as reasons that a person understands."""

from __future__ import annotations

import pytest

from lepton_ai.package.onnx_runtime import advice_for, explain_onnx_runtime

LOAD = "[ONNXRuntimeError] : 1 : FAIL : Load model from /data/a b/model.onnx failed:"
OPSET = (
    f"{LOAD}/onnxruntime_src/onnxruntime/core/graph/model_load_utils.h:46 void onnxruntime::model_load_utils::"
    "ValidateOpsetForDomain(const std::unordered_map<std::__cxx11::basic_string<char>, int>&, bool, int) ONNX Runtime "
    "only *guarantees* support for models stamped with official released onnx opset versions. Opset 28 is under "
    "development and support for this is limited. Current official support for domain ai.onnx is till opset 26.\n"
)
IR_VERSION = (
    f"{LOAD}/onnxruntime_src/onnxruntime/core/graph/model.cc:256 onnxruntime::Model::Model(onnx::ModelProto&&, const "
    "onnxruntime::ModelOptions&) Unsupported model IR version: 14, max supported IR version: 13\n"
)
OPERATOR = (
    "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Relu(14) node with name 'n1'"
)
CUSTOM = f"{LOAD}Fatal error: com.microsoft:FooBar(-1) is not a registered function/op"
OTHER = f"{LOAD}/onnxruntime_src/core/graph/graph.cc:12 void onnxruntime::Graph::Resolve(int) This is an invalid model."


@pytest.mark.parametrize(
    ("text", "reason", "advice"),
    [
        (OPSET, "it has opset 28 of ai.onnx, the serving runtime takes 26 at most", "not larger"),
        (IR_VERSION, "it has IR version 14, the serving runtime takes 13 at most", "not larger"),
        (
            OPERATOR,
            "the serving runtime does not implement operator Relu for the type of its inputs (node 'n1')",
            "Cast to FP32",
        ),
        (CUSTOM, "the serving runtime has no operator com.microsoft:FooBar", "another way"),
        (OTHER, "This is an invalid model.", "another way"),
        ("onnx runtime error 1: Something else", "onnx runtime error 1: Something else", "another way"),
    ],
    ids=["opset", "IR version", "operator for a type", "unknown operator", "another", "no error of ONNX Runtime's"],
)
def test_a_refusal_says_what_the_model_has_and_what_the_runtime_takes(text: str, reason: str, advice: str) -> None:
    assert explain_onnx_runtime(text) == reason
    assert advice in advice_for(text)
    assert "onnxruntime_src" not in explain_onnx_runtime(text)
    assert "/data" not in explain_onnx_runtime(text)
