"""Log messages as the platform's processes write them, each with the number of the statement that wrote it."""

from __future__ import annotations

MESSAGES: tuple[tuple[str, ...], ...] = (
    (
        "Version 3 of resnet cannot be loaded: Triton has no memory left",
        "Version 12 of efficientnet-lite0 cannot be loaded: Triton has no memory left",
        "Version 1 of 猫 cannot be loaded: Triton has no memory left",
    ),
    (
        "Triton does not answer any more: StatusCode.UNAVAILABLE",
        "Triton does not answer any more: TimeoutError",
        "Triton does not answer any more: CancelledError",
    ),
    (
        "Ending Triton, process 4711, so that it is started again",
        "Ending Triton, process 90, so that it is started again",
    ),
    (
        "Triton has not answered 12 calls; they are cancelled",
        "Triton has not answered 1 calls; they are cancelled",
    ),
    (
        "resnet--v3 does not come back by loading it again; restarting Triton",
        "digits--v12 does not come back by loading it again; restarting Triton",
    ),
    ("etcd does not answer",) * 4,
    ("discovery does not answer; the registration will run out by itself",) * 2,
    ("this registry leads no longer",) * 2,
    (
        "cannot take the lead: etcd does not answer at 127.0.0.1:2379",
        "cannot take the lead: etcd does not answer at unix:/run/user/1000/lepton/etcd",
        "cannot take the lead: etcd does not answer at etcd-0.etcd:2379",
    ),
    ("etcd is out of reach: another registry may lead",) * 2,
    (
        "file 0f3a9b77c1d2… cannot be read: Permission denied",
        "file ffe1029384ab… cannot be read: Permission denied",
    ),
    ("the lead is lost",) * 2,
    ("the lead is taken",) * 2,
    ("the collector is back",) * 2,
    ("the collector is away",) * 2,
    ("replacing damaged files",) * 3,
    ("publishing a deployment to etcd again",) * 3,
    ("deleting a deployment from etcd that is not in the database",) * 2,
    (
        "The signature of resnet@3 cannot be verified: it is signed with a key that is not trusted",
        "The signature of digits@14 cannot be verified: it is signed with a key that is not trusted",
    ),
    (
        "lepton.v1.InferenceService/Predict failed: Something went wrong inside Lepton.",
        "lepton.v1.RegistryService/Deploy failed: Something went wrong inside Lepton.",
        "lepton.v1.PreprocessService/Preprocess failed: Something went wrong inside Lepton.",
    ),
    (
        "work for lepton.v1.InferenceService/Predict was cancelled from within",
        "work for lepton.v1.PreprocessService/PreprocessStream was cancelled from within",
    ),
    (
        "traces are being dropped: no collector at 127.0.0.1:4317 (UNAVAILABLE)",
        "traces are being dropped: no collector at jaeger.example:4317 (DEADLINE_EXCEEDED)",
        "traces are being dropped: no collector at [::1]:4317 (UNAVAILABLE)",
    ),
    ("512 spans could not be exported", "3 spans could not be exported"),
    ("a loop failed; it starts again",) * 4,
    ("what a loop waited for was cancelled; the loop starts again",) * 2,
    ("remembered endpoints cannot be read",) * 2,
    ("endpoints cannot be remembered",) * 2,
    ("skipped a record that cannot be read",) * 3,
    ("cancelled calls do not end; going on",) * 2,
    (
        "inspector ended with -9: Killed",
        "inspector ended with 137: Killed",
    ),
    (
        "tensors go inside messages, as the system gives no memory to share: No space left on device",
        "tensors go inside messages, as the system gives no memory to share: Cannot allocate memory",
    ),
    (
        "The files of /var/lib/lepton/models/resnet--v3 were not removed: PermissionError",
        "The files of /srv/models/digits--v1 were not removed: OSError",
    ),
    ("模型 猫 无法加载，原因：超时 30 秒", "模型 狗 无法加载，原因：超时 5 秒", "模型 鸟 无法加载，原因：超时 12 秒"),
    ("副本 10.0.0.7:8500 失去连接", "副本 10.0.0.12:8501 失去连接"),
    ("磁盘空间不足：剩余 12 MiB", "磁盘空间不足：剩余 256 MiB"),
    (
        "failed to load 'resnet--v3' version 1: Internal: failed to open /models/resnet--v3/1/model.onnx",
        "failed to load 'digits--v12' version 1: Internal: failed to open /models/digits--v12/1/model.onnx",
    ),
    (
        "slow fdatasync took 1.523s expected-duration 1s",
        "slow fdatasync took 2.001s expected-duration 1s",
    ),
    (
        "lease 694d8a1c3f2b7e15 expired after 5.0 s",
        "lease 0a4d8a1c3f2b7eff expired after 12.25 s",
    ),
    (
        "webhook https://hooks.example/T01/B02 answered 502",
        "webhook https://other.example/a?b=c answered 404",
    ),
    (
        "request 3f2504e0-4f89-41d3-9a0c-0305e82c3301 of tenant 'anna' was refused",
        "request 11111111-2222-3333-4444-555555555555 of tenant 'böb' was refused",
    ),
)
