"""What layouts recognize, from the names of files and from settings beside them; no weights are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from committee.errors import DataError
from committee.pipeline.importing import files as module
from committee.pipeline.importing.files import Files
from committee.pipeline.importing.settings import settings_in, settings_near
from committee.pipeline.layouts.base import LAYOUTS, Found, recognize


def tree(root: Path, *names: str, texts: Mapping[str, str] = MappingProxyType({})) -> Files:
    """Make empty files, and files with a text."""
    for name, text in {**dict.fromkeys(names, ""), **texts}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return Files(root)


def short(files: Files, found: Found) -> tuple[str, str, dict[str, str], dict[str, list[str]]]:
    def name(path: Path) -> str:
        return path.relative_to(files.top(path)).as_posix()

    return (
        found.layout,
        found.name,
        {key: name(path) for key, path in found.networks.items()},
        {split: [name(path) for path in paths] for split, paths in found.predictions.items()},
    )


RUN = "output/train/20240101-120000-resnet18-64"
CASES: dict[str, tuple[tuple[str, ...], dict[str, str], list[tuple[object, ...]]]] = {
    "folds": (
        ("ckpt/a_fold0.pt", "ckpt/a_fold1.pt", "oof/a_fold0.csv", "oof/a_fold1.csv", "train.csv"),
        {},
        [
            (
                "folds",
                "a",
                {"fold_0": "ckpt/a_fold0.pt", "fold_1": "ckpt/a_fold1.pt"},
                {"oof": ["oof/a_fold0.csv", "oof/a_fold1.csv"]},
            )
        ],
    ),
    "folds_in_folders": (
        ("effb0_v2/fold_0/best.pth", "effb0_v2/fold_0/last.pth", "effb0_v2/fold_1/best.pth"),
        {},
        [
            (
                "folds",
                "effb0_v2",
                {"fold_0": "effb0_v2/fold_0/best.pth", "fold_1": "effb0_v2/fold_1/best.pth"},
                {},
            )
        ],
    ),
    "name_with_a_split": (
        ("test_vit_fold0.pt", "test_vit_fold1.pt", "oof/oof_test_vit_fold0.csv", "test_vit_test.npz"),
        {},
        [
            (
                "folds",
                "test_vit",
                {"fold_0": "test_vit_fold0.pt", "fold_1": "test_vit_fold1.pt"},
                {"oof": ["oof/oof_test_vit_fold0.csv"], "test": ["test_vit_test.npz"]},
            )
        ],
    ),
    "lightning": (
        (
            "lightning_logs/version_0/checkpoints/epoch=1-val_loss=0.30.ckpt",
            "lightning_logs/version_0/checkpoints/epoch=2-val_loss=0.20.ckpt",
            "lightning_logs/version_0/checkpoints/epoch=3-val_loss=0.25.ckpt",
            "lightning_logs/version_0/checkpoints/last.ckpt",
        ),
        {
            "lightning_logs/version_0/hparams.yaml": "model_name: resnet18\n"
            "args: !!python/object:argparse.Namespace\n  img_size: 64\n"
        },
        [
            (
                "lightning",
                "resnet18",
                {"refit": "lightning_logs/version_0/checkpoints/epoch=2-val_loss=0.20.ckpt"},
                {},
            )
        ],
    ),
    "timm": (
        (
            f"{RUN}/model_best.pth.tar",
            f"{RUN}/last.pth.tar",
            f"{RUN}/checkpoint-9.pth.tar",
            f"{RUN}/summary.csv",
        ),
        {f"{RUN}/args.yaml": "model: resnet18\nimg_size: null\nmean: [0.5, 0.5, 0.5]\nmodel_ema: true\n"},
        [("timm", "resnet18", {"refit": f"{RUN}/model_best.pth.tar"}, {})],
    ),
    "torchvision": (
        ("run/model_9.pth", "run/model_10.pth"),
        {},
        [("torchvision", "", {"refit": "run/model_10.pth"}, {})],
    ),
    "keras": (
        ("predictions/vgg16/val_preds.npy", "predictions/vgg16/y_val.npy", "predictions/b/val_preds.npy"),
        {},
        [
            ("predictions", "b", {}, {"val": ["predictions/b/val_preds.npy"]}),
            ("predictions", "vgg16", {}, {"val": ["predictions/vgg16/val_preds.npy"]}),
        ],
    ),
    "checkpoints": (
        ("weights/vit_base.pt", "dense/best_model.pth", "dense/epoch_7.pth"),
        {},
        [
            ("checkpoints", "dense", {"refit": "dense/best_model.pth"}, {}),
            ("checkpoints", "vit_base", {"refit": "weights/vit_base.pt"}, {}),
        ],
    ),
    "backbones": (
        (
            "ckpt/a/best.pt",
            "ckpt/a/fold_0.pt",
            "ckpt/a/fold_1.pt",
            "kfold/a/fold_0/val.csv",
            "kfold/a/fold_1/val.csv",
            "deploy/a/model.onnx",
            "metrics/a/metrics.json",
        ),
        {},
        [
            (
                "backbones",
                "a",
                {"fold_0": "ckpt/a/fold_0.pt", "fold_1": "ckpt/a/fold_1.pt", "refit": "ckpt/a/best.pt"},
                {"oof": ["kfold/a/fold_0/val.csv", "kfold/a/fold_1/val.csv"]},
            )
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_recognized(case: str, tmp_path: Path) -> None:
    names, texts, expected = CASES[case]
    files = tree(tmp_path, *names, texts=texts)
    found = recognize(files)
    assert sorted(short(files, each) for each in found) == sorted(expected)
    left = [path for path in files.free if path.suffix not in (".json", ".yaml", ".csv")]
    assert not left
    if case == "timm":
        assert (found[0].settings.size, found[0].settings.mean, found[0].ema) == (64, (0.5, 0.5, 0.5), True)
    if case == "lightning":
        assert (found[0].settings.backbone, found[0].settings.size) == ("resnet18", 64)


def test_every_layout_is_recognized_by_a_case() -> None:
    assert {each[0] for _, _, expected in CASES.values() for each in expected} == set(LAYOUTS.names())


def test_folders_of_backbones_may_be_named(tmp_path: Path) -> None:
    report = json.dumps({"metrics": {"accuracy": {"value": 91.5}}})
    tree(tmp_path, "x/vit/model.safetensors", texts={"y/vit/report.json": report})
    (found,) = recognize(Files(None, {"ckpt": tmp_path / "x", "metrics": tmp_path / "y"}))
    assert (found.name, found.score) == ("vit", 0.915)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"model": {"name": "resnet18", "pretrained": True}}, ("resnet18", None, None, None)),
        ({"backbone": "vit_b_16", "model": "classifier"}, ("vit_b_16", None, None, None)),
        ({"data": {"image_size": [128, 96]}, "mean": [123.675, 116.28, 103.53]}, ("", 96, 0.485, None)),
        ({"class_to_idx": {"dog": 1, "cat": 0}}, ("", None, None, ("cat", "dog"))),
        (
            {"id2label": {"0": "cat", "1": "dog"}, "arch": "__import__('os')"},
            ("", None, None, ("cat", "dog")),
        ),
        ({"classes": 10, "img_size": True, "mean": "x"}, ("", None, None, None)),
        ([1], ("", None, None, None)),
    ],
)
def test_settings_under_the_names_in_use(content: object, expected: tuple[object, ...]) -> None:
    found = settings_in(content)
    mean = None if found.mean is None else pytest.approx(found.mean[0])
    assert (found.backbone, found.size, mean, found.classes) == expected


def test_the_nearest_settings_take_precedence(tmp_path: Path) -> None:
    texts = {
        "a/b/config.json": '{"img_size": 64}',
        "a/b/classes.txt": "cat\ndog\n",
        "a/config.yaml": "img_size: 48\nmodel_name: vit\n",
        "a/cfg.yaml": "model_name: resnet18\nbad: [",
    }
    tree(tmp_path, "a/b/x.pt", texts=texts)
    found = settings_near(tmp_path / "a/b/x.pt", tmp_path)
    assert (found.size, found.backbone, found.classes) == (64, "vit", ("cat", "dog"))


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 2)
    with pytest.raises(DataError) as caught:
        tree(tmp_path, "a.pt", "b.pt", "c.pt")
    assert str(caught.value) == (
        f"{tmp_path}: expected at most 2 files, got more. Name the folder of the trainer alone."
    )
