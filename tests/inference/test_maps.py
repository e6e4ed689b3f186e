"""Maps of images of any size: tiles, the files that are written, and what the table says of them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from committee.cli.main import main
from committee.errors import DataError, UsageError
from committee.images.masks import decode_mask
from committee.inference.map_files import MapFiles, names_of
from committee.inference.palette import palette
from committee.inference.photos import find_photos
from committee.inference.predict import predict
from committee.inference.rules import rule_of
from committee.models.predictor import Images
from committee.predictions.target_types import CLASS_MAPS, NUMBER_MAPS, TargetType

SIZES = {"a.png": (20, 30), "b/c.png": (70, 41), "d.jpg": (8, 8)}


class Pixels:
    """A predictor of maps from the first channel: the probability of one class, or the number itself."""

    channels, provenance, units = 3, {}, ()

    def __init__(
        self, target_type: TargetType = CLASS_MAPS, names: tuple[str, ...] = ("dark", "light")
    ) -> None:
        self.name, self.target_type, self.class_names = "pixels", target_type, names
        self.seen: list[tuple[int, ...]] = []

    def __call__(self, images: Images) -> Any:
        self.seen.append(images.shape)
        light = images[:, :1].astype(np.float32)
        if self.target_type is NUMBER_MAPS:
            return np.concatenate([light + place for place in range(len(self.class_names))], axis=1)
        return np.concatenate([1 - light / 255, light / 255], axis=1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos of three sizes with a ramp of brightness, and one that is broken."""
    for name, (height, width) in SIZES.items():
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        ramp = np.linspace(0, 255, height * width).reshape(height, width).astype(np.uint8)
        Image.fromarray(np.stack([ramp] * 3, -1)).save(path)
    (tmp_path / "photos" / "broken.png").write_bytes(b"no photo")
    return tmp_path / "photos"


def opened(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_maps_have_the_size_of_their_image_and_large_images_are_tiled(photos: Path) -> None:
    model = Pixels()
    found = {
        Path(each.id).name: each for each in predict(model, find_photos([photos]), tile=32, overlap=0.25)
    }
    assert found["broken.png"].probabilities is None and "got something else" in found["broken.png"].reason
    assert found["a.png"].probabilities.shape == (2, 20, 30)  # type: ignore[union-attr]
    ramp = opened(photos / "b/c.png")[:, :, 0]
    np.testing.assert_allclose(found["c.png"].probabilities[1], ramp / np.float32(255), atol=1e-6)  # type: ignore[index]
    assert {shape[2:] for shape in model.seen} == {(20, 30), (32, 32), (8, 8)}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (np.full((1, 2, 8, 8), 0.4), "values that sum to 0.8"),
        (np.full((1, 2, 8, 8), np.nan), "NaN or infinity"),
        (np.full((1, 3, 8, 8), 1 / 3), "an array [3, 8, 8]"),
        (np.full((1, 2, 4, 8), 0.5), "expected maps [1, C, 8, 8] of the size of the tiles, got [1, 2, 4, 8]"),
    ],
)
def test_answers_that_are_no_maps_are_reasons(photos: Path, answer: Any, reason: str) -> None:
    model = Pixels()
    model.__class__ = type("Wrong", (Pixels,), {"__call__": lambda self, images: answer})
    [found] = predict(model, [photos / "d.jpg"])
    assert found.probabilities is None and reason in found.reason


def test_masks_arrays_and_numbers_are_read_back_as_they_were_predicted(photos: Path, tmp_path: Path) -> None:
    files = [photos / name for name in SIZES]
    of_classes = MapFiles(tmp_path / "masks", Pixels(), files, "float16")
    maps = next(predict(Pixels(), files)).probabilities
    assert maps is not None
    mask, arrays = of_classes.write(files[0], maps)
    with Image.open(mask) as image:
        assert image.mode == "P" and image.getpalette()[:6] == palette(2).ravel().tolist()
        assert np.array_equal(np.asarray(image), maps.argmax(0))
    with np.load(arrays) as stored:
        assert stored["probabilities"].dtype == np.float16 and stored["class_names"].tolist() == [
            "dark",
            "light",
        ]
        assert np.array_equal(stored["probabilities"], maps.astype(np.float16))
    assert (tmp_path / "masks/masks/classes.txt").read_text() == "dark\nlight\n"


@pytest.mark.parametrize(("targets", "suffix"), [(("depth",), ".tif"), (("depth", "height"), ".npy")])
def test_numbers_are_read_back_as_they_were_predicted(
    photos: Path, tmp_path: Path, targets: tuple[str, ...], suffix: str
) -> None:
    model, files = Pixels(NUMBER_MAPS, targets), [photos / "a.png"]
    values = next(predict(model, files)).probabilities
    assert values is not None
    [path] = MapFiles(tmp_path, model, files).write(files[0], values)
    assert path.suffix == suffix
    assert np.array_equal(decode_mask(path), values.transpose(1, 2, 0))


def test_more_than_256_classes_have_16_bits(tmp_path: Path) -> None:
    model = Pixels(names=tuple(f"class {index}" for index in range(300)))
    maps = np.zeros((300, 4, 4), np.float32)
    maps[299] = 1
    [mask] = MapFiles(tmp_path, model, [Path("a.png")]).write(Path("a.png"), maps)
    assert opened(mask).dtype == np.uint16 and (opened(mask) == 299).all()
    assert len(np.unique(palette(256), axis=0)) > 200


def test_names_are_paths_below_the_common_folder() -> None:
    some = [Path("x/../scans/1/a.b.jpg"), Path("scans/2/a.jpg"), Path("scans/2/b/a.png")]
    assert list(names_of(some).values()) == ["1/a.b", "2/a", "2/b/a"]
    with pytest.raises(DataError) as caught:
        names_of([Path("scans/a.jpg"), Path("scans/A.png")])
    assert str(caught.value) == (
        "scans/a.jpg, scans/A.png: expected images whose names differ without their suffixes, as the names "
        "of their maps, got 'A' twice. Rename one, or predict them into two folders."
    )


def test_files_with_other_content_are_kept(tmp_path: Path) -> None:
    files = MapFiles(tmp_path, Pixels(), [Path("a.png")])
    dark, light = np.float32([[[1]], [[0]]]), np.float32([[[0]], [[1]]])
    files.write(Path("a.png"), dark)
    files.write(Path("a.png"), dark)
    with pytest.raises(
        UsageError, match=r"masks/a.png: the file exists with other content. Name another folder"
    ):
        files.write(Path("a.png"), light)
    assert opened(tmp_path / "masks/a.png").item() == 0
    files.write(Path("a.png"), light, force=True)
    assert opened(tmp_path / "masks/a.png").item() == 1


def test_the_summary_of_an_image() -> None:
    maps = np.float32([[[0.9, 0.2, 0.5]], [[0.1, 0.8, 0.5]]])
    rule = rule_of(Pixels(), coverage=None)
    assert rule.header() == ["height", "width", "share of dark", "share of light", "confidence", "entropy"]
    entropy = -(maps * np.log(maps)).sum(axis=0).mean()
    cells = [float(cell) for cell in rule.cells(maps)]
    np.testing.assert_allclose(cells, [1, 3, 2 / 3, 1 / 3, (0.9 + 0.8 + 0.5) / 3, entropy], rtol=1e-6)
    assert rule.shown(maps)[:2] == ["3 x 1", "dark 66.7%, light 33.3%"]
    with pytest.raises(UsageError) as caught:
        rule_of(Pixels(), coverage=0.9)
    assert str(caught.value) == (
        "--coverage: expected a model with one answer for an image, got pixels, which predicts maps. "
        "Leave the option out."
    )


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Pixels:
    """A model of maps with the name `pixels`."""
    found = Pixels()
    monkeypatch.setattr("committee.inference.predict.open_model", lambda *_: found)
    monkeypatch.setattr("committee.inference.origins.model_digest", lambda *_: "digest")
    return found


def test_predict_writes_a_folder_and_goes_on_where_it_stopped(
    photos: Path, tmp_path: Path, model: Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["predict", "pixels", str(photos), "--out", str(out), "--tile", "32", "--arrays", "float32"]
    assert main(command) == 3
    assert "3 new, 0 already in the file, 1 unreadable" in capsys.readouterr().out
    masks = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert masks == ["masks/a.png", "masks/b/c.png", "masks/d.png"]
    assert len(list(out.rglob("*.npz"))) == 3
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = {Path(row["id"]).name: row for row in csv.DictReader(file)}
    assert rows["a.png"]["model"] == "pixels (tile 32)" and rows["c.png"]["height"] == "70"
    share = opened(out / "masks/a.png").mean()
    assert float(rows["a.png"]["share of light"]) == pytest.approx(share)
    model.seen.clear()
    Image.new("RGB", (9, 9)).save(photos / "a.png")
    assert main(command) == 3
    assert "1 new, 2 already in the file" in capsys.readouterr().out
    assert model.seen == [(1, 3, 9, 9)] and opened(out / "masks/a.png").shape == (9, 9)
    assert main(["predict", "pixels", str(photos), "--out", str(out)]) == 1
    assert "expected predictions of pixels, got those of pixels (tile 32)" in capsys.readouterr().err


def test_pictures_of_the_worst_images(
    photos: Path, tmp_path: Path, model: Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    out, masks = tmp_path / "out", tmp_path / "masks"
    for name, (height, width) in SIZES.items():
        truth = np.arange(height * width).reshape(height, width) * 2 >= height * width
        truth ^= name == "d.jpg"
        path = (masks / name).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(truth.astype(np.uint8)).save(path)
    (photos / "broken.png").unlink()
    command = ["predict", "pixels", str(photos), "--out", str(out), "--picture", "--masks", str(masks)]
    assert main([*command, "--worst", "1"]) == 0
    assert [path.name for path in (out / "pictures").rglob("*.png")] == ["d.png"]
    assert f"worst: {photos.as_posix()}/d.jpg: mean_iou 0" in capsys.readouterr().out
    Image.new("L", SIZES["a.png"][::-1], 7).save(masks / "a.png")
    assert main([*command[:4], str(tmp_path / "other"), *command[5:]]) == 1
    text = f"Name the class of each value in {masks.as_posix()}/classes.json, and write 255 in the pixels "
    assert text in capsys.readouterr().err
    (masks / "a.png").unlink()
    assert main([*command[:4], str(tmp_path / "new"), *command[5:]]) == 1
    text = f"expected a mask {masks.as_posix()}/a (.png, .tif, .tiff, .npy), got none. Add it, or leave"
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--picture"], "--picture: expected --out as well, got none. Add it."),
        (["--arrays", "float16"], "--arrays: expected --out as well, got none. Add it."),
        (["--tile", "0"], "tile: expected a side of at least 1 pixel, got 0."),
        (["--overlap", "1"], "overlap: expected a fraction from 0 to below 1, got 1."),
        (
            ["--abstain-below", "0.5"],
            "--abstain-below: expected a model with one answer for an image, got pixels",
        ),
    ],
)
def test_options_that_do_not_fit(
    photos: Path, model: Pixels, capsys: pytest.CaptureFixture[str], options: list[str], text: str
) -> None:
    assert main(["predict", "pixels", str(photos), *options]) == 2
    assert text in capsys.readouterr().err


def test_options_of_maps_are_refused_for_other_models(
    photos: Path, model: Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    del model.target_type
    assert main(["predict", "pixels", str(photos), "--tile", "64"]) == 2
    text = "--tile: expected a model of maps, got pixels, which predicts classes. Leave the option out."
    assert text in capsys.readouterr().err


def test_a_table_and_json_of_maps(photos: Path, model: Pixels, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "pixels", str(photos / "a.png")]) == 0
    assert "shares of pixels" in capsys.readouterr().out
    assert main(["predict", "pixels", str(photos / "a.png"), "--json"]) == 0
    assert '"shares": {' in capsys.readouterr().out
