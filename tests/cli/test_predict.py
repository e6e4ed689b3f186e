"""The verb predict: one image has the same probabilities through the module, the store and exported files."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_sample_images

from committee.exporters.base import EXPORTERS, Card
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.pipeline.shared.package import package
from committee.pipeline.shared.parity import several_sizes
from committee.predictions.files.base import read
from committee.store.commit import commit
from committee.store.layout import Store

CLASSES = ("temple", "flower", "été", "no")
ROTATED = 6  # EXIF: rotate by 90 degrees to see it upright


@pytest.fixture(scope="module")
def pictures() -> list[NDArray[np.uint8]]:
    """Two photographs, uint8 [H, W, 3], of odd sizes."""
    china, flower = load_sample_images().images
    return [china[:333, :517], flower[10:211, 100:401]]


@pytest.fixture(scope="module")
def photos(pictures, tmp_path_factory) -> Path:
    """A folder with a rotated JPEG, a PNG, and a folder with a WebP and a broken file."""
    folder = tmp_path_factory.mktemp("photos")
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    turned = Image.fromarray(pictures[0]).transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "a_turned.jpg", exif=exif, quality=95)
    Image.fromarray(pictures[0]).save(folder / "b.png")
    (folder / "below").mkdir()
    Image.fromarray(pictures[1]).save(folder / "below" / "c.webp", lossless=True)
    (folder / "below" / "d.jpg").write_bytes(b"no photo")
    return folder


def with_active_norms(member: Member) -> Member:
    """Move all weights of normalizations: timm starts the last of a block at zero, which hides the block."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in member.network.parameters():
            if tensor.ndim == 1:
                tensor += torch.rand(tensor.shape, generator=random) - 0.3
    return member.eval()


@pytest.fixture(scope="module")
def members() -> list[Member]:
    """Two networks of other sizes, with other geometry."""
    torch.manual_seed(0)
    convnet = Member.build("timm:test_resnet", classes=CLASSES, size=96, name="convnet")
    transformer = Member.build("timm:test_vit", classes=CLASSES, size=64, fit="pad", name="transformer")
    return [with_active_norms(convnet), with_active_norms(transformer)]


@pytest.fixture(scope="module")
def ensemble(members) -> Ensemble:
    return Ensemble(members, weights=[0.7, 0.3], name="pair").eval()


@pytest.fixture(scope="module")
def store(members, tmp_path_factory) -> Store:
    """A store with the two members."""
    store = Store(tmp_path_factory.mktemp("store"))
    for member in members:
        facts = {"backbone": f"timm:{member.name}", "inference": "refit"}
        with commit(
            store.checkpoint(member.name, "refit"), kind="checkpoint", fingerprint="x", **facts
        ) as new:
            member.save(new)
    return store


FORMATS = ["checkpoint", "onnx"]
"""A format that builds networks, and a graph; the contract tests of exporters predict with all."""


@pytest.fixture(scope="module")
def packaged(members, ensemble, pictures, tmp_path_factory) -> dict[str, dict[str, Path]]:
    """The files of one member and of both, by format and name."""
    top = tmp_path_factory.mktemp("deploy")
    batches = several_sizes([picture.transpose(2, 0, 1)[:, :60, :80] for picture in pictures])
    found: dict[str, dict[str, Path]] = {name: {} for name in FORMATS}
    for module in (members[0], ensemble):
        folder = top / module.name
        status = package(module, Card(module.name, CLASSES), folder, FORMATS, batches)
        for name in FORMATS:
            found[name][module.name] = folder / status["formats"][name]["file"]
    return found


@pytest.fixture(scope="module")
def files(packaged) -> dict[str, Path]:
    """The ONNX file of one member and of both."""
    return packaged["onnx"]


def probabilities_of(out: str) -> dict[str, list[float]]:
    """Return the probabilities by file name, in the order of the classes."""
    found = {}
    for row in json.loads(out)["predictions"]:
        assert list(row["probabilities"]) == list(CLASSES)
        found[Path(row["id"]).name] = list(row["probabilities"].values())
    return found


def probabilities_in(module: torch.nn.Module, path: Path) -> NDArray[np.float32]:
    """Return the probabilities of an image that Pillow opens and that is rotated here."""
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    if path.suffix == ".jpg":
        pixels = np.rot90(pixels, -1)
    with torch.inference_mode():
        images = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
        return module(images).softmax(1)[0].numpy()


@pytest.mark.slow
def test_a_photo_has_the_same_probabilities_everywhere(cli, photos, store, members, ensemble, packaged):
    """The pixel test: a rotated JPEG of odd size through module, command line and exported files."""
    names = ["a_turned.jpg", "b.png", "c.webp"]
    paths = [photos / "a_turned.jpg", photos / "b.png", photos / "below" / "c.webp"]
    with Image.open(paths[0]) as image:
        assert image.size == (333, 517), "the JPEG must be rotated"
    exported = [
        (module, [files[module.name]]) for files in packaged.values() for module in (members[0], ensemble)
    ]
    for module, where in (
        (members[0], ["convnet", "--store", store.root, "--set", "device=cpu"]),
        *exported,
    ):
        result = cli("predict", where[0], *paths, *where[1:], "--json")
        assert result.code == 0, result.err
        found = probabilities_of(result.out)
        assert list(found) == names
        expected = [probabilities_in(module, path) for path in paths]
        np.testing.assert_allclose(list(found.values()), expected, atol=1e-6)
        # Lossless and upright, it is the same picture; so is it, but for JPEG's loss, when it is turned.
        assert np.abs(expected[0] - expected[1]).max() < 0.02
        assert np.abs(expected[1] - expected[2]).max() > 0.02, (
            "the test cannot fail if the pixels have no effect"
        )


@pytest.mark.parametrize("name", FORMATS)
def test_the_folder_of_a_format_is_opened_too(cli, photos, packaged, name):
    file = packaged[name]["pair"]
    folder = file if file.is_dir() else file.parent
    found = [cli("predict", path, photos / "b.png", "--json") for path in (file, folder)]
    assert found[0] == found[1] and found[0].code == 0


def test_a_file_without_architecture_is_refused(cli, photos, ensemble, tmp_path):
    name = next(each for each in EXPORTERS.names() if not EXPORTERS.load(each).self_contained)
    exporter = EXPORTERS.make(name)
    file = exporter.export(ensemble, torch.empty(0), tmp_path, Card("pair", CLASSES))
    result = cli("predict", file, photos / "b.png")
    assert (result.code, result.err) == (
        2,
        f"committee: {file}: expected a file that contains a whole model, got the weights alone. "
        "Use another format of the package, or a model of a store by its name.\n",
    )


def test_the_python_interface_agrees(photos, ensemble):
    path = photos / "a_turned.jpg"
    np.testing.assert_allclose(ensemble.predict([path])[0], probabilities_in(ensemble, path), atol=1e-6)


def test_an_onnx_file_needs_no_torch(photos, files):
    code = (
        "import sys; from committee.cli.main import main; "
        f"code = main(['predict', {str(files['pair'])!r}, {str(photos / 'b.png')!r}]); "
        "print(sorted({'torch', 'timm', 'sklearn', 'scipy'} & set(sys.modules))); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_folder_becomes_a_table_that_goes_on(cli, photos, files, tmp_path):
    table = tmp_path / "out.csv"
    first = cli("predict", files["pair"], photos / "b.png", "--csv", table)
    assert (first.code, first.out) == (0, f"{table}: 1 new, 0 already in the file, 0 unreadable\n")
    result = cli("predict", files["pair"], photos, "--csv", table)
    assert result.code == 3
    listed = tmp_path / "out.unreadable.csv"
    assert result.out == f"{table}: 2 new, 1 already in the file, 1 unreadable, listed in {listed}\n"
    assert result.err == (
        f"{photos / 'below' / 'd.jpg'}: expected a JPEG, PNG or WebP image, got something else. "
        "Replace it or leave it out.\n"
    )
    with listed.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["id", "reason"],
            [(photos / "below" / "d.jpg").as_posix(), result.err.rstrip("\n")],
        ]
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "prediction", *CLASSES, "model"]
    assert [Path(row[0]).name for row in rows[1:]] == ["b.png", "a_turned.jpg", "c.webp"]
    for row in rows[1:]:
        values = np.array(row[2:-1], np.float32)
        assert values.sum() == pytest.approx(1, abs=1e-6)
        assert (row[1], row[-1]) == (CLASSES[values.argmax()], "pair")


def test_a_table_can_be_combined(cli, photos, files, tmp_path):
    table = tmp_path / "pair.csv"
    assert cli("predict", files["pair"], photos / "b.png", photos / "a_turned.jpg", "--csv", table).code == 0
    rows = read(table, "pair")
    assert rows.class_names == CLASSES
    assert [Path(name).name for name in rows.sample_ids] == ["b.png", "a_turned.jpg"]


def test_json_names_what_could_not_be_read(cli, photos, files):
    result = cli("predict", files["pair"], photos / "below", "--json")
    assert result.code == 3
    found = json.loads(result.out)
    assert found["model"] == "pair"
    bad = photos / "below" / "d.jpg"
    reason = f"{bad}: expected a JPEG, PNG or WebP image, got something else. Replace it or leave it out."
    assert found["failed"] == [{"id": bad.as_posix(), "reason": reason}]


def test_the_table(cli, photos, files):
    result = cli("predict", files["pair"], photos / "b.png")
    lines = result.out.splitlines()
    assert lines[0].split() == ["image", "prediction", "probability"]
    assert lines[1].split()[0] == (photos / "b.png").as_posix()
    assert lines[1].split()[1] in CLASSES


def test_nothing_readable_is_a_failure(cli, photos, files):
    assert cli("predict", files["pair"], photos / "below" / "d.jpg").code == 1


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="a disk that takes any name")
def test_odd_names_are_predicted_and_hostile_files_are_skipped(cli, photos, files, tmp_path, monkeypatch):
    folder = tmp_path / "odd"
    folder.mkdir()
    names = [b"new\nline.png", b"esc\x1b[2J.png", b"caf\xe9.png", b"x" * 251 + b".png", b'quote".png']
    for name in names:
        shutil.copy(photos / "b.png", os.fsencode(folder) + b"/" + name)
    Image.new("1", (7_100, 7_100)).save(folder / "bomb.png")
    (folder / "eps.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    table = tmp_path / "out.csv"
    result = cli("predict", files["pair"], folder, "--csv", table)
    assert result.code == 3 and result.out.startswith(
        f"{table}: 5 new, 0 already in the file, 2 unreadable, listed in "
    )
    assert result.err.splitlines() == [
        f"{folder / 'bomb.png'}: expected a JPEG, PNG or WebP image, "
        "got more than 50 million pixels: 7100 x 7100. Replace it or leave it out.",
        f"{folder / 'eps.jpg'}: expected a JPEG, PNG or WebP image, got an EPS file. "
        "Replace it or leave it out.",
    ]
    with table.open(encoding="utf-8", newline="") as file:
        ids = [row[0] for row in csv.reader(file)][1:]
    expected = {os.fsdecode(name).encode(errors="backslashreplace").decode() for name in names}
    assert {Path(name).name for name in ids} == expected
    cut = table.read_bytes()
    table.write_bytes(cut[: cut.index(b"new\nline") + 5])  # killed in mid-row, behind the line end in a name
    again = cli("predict", files["pair"], folder, "--csv", table)
    assert again.code == 3 and sorted(table.read_text("utf-8")) == sorted(cut.decode())
    monkeypatch.setenv("COLUMNS", "500")
    shown = cli("predict", files["pair"], folder)
    assert "\x1b" not in shown.out and "new\\nline.png" in shown.out and len(shown.out.splitlines()) == 6
    found = json.loads(cli("predict", files["pair"], folder, "--json").out)
    assert {Path(row["id"]).name for row in found["predictions"]} == expected
    assert [Path(row["id"]).name for row in found["failed"]] == ["bomb.png", "eps.jpg"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["nowhere.onnx", "{photos}"],
            "nowhere.onnx: the file does not exist.",
        ),
        (
            ["convnot", "{photos}", "--store", "{store}"],
            "{store}: expected one of convnet, transformer, got 'convnot'. Did you mean 'convnet'?",
        ),
        (
            ["{file}", "{photos}", "--batch-size", "0"],
            "--batch-size: expected a number of at least 1, got 0.",
        ),
        (
            ["{file}", "{photos}/nothing"],
            "{photos}/nothing: the file or folder does not exist.",
        ),
        (
            ["{file}", "{photos}", "--csv", "a.csv", "--json"],
            "predict: argument --json: not allowed with argument --csv. See: committee predict --help",
        ),
    ],
)
def test_wrong_usage_is_one_sentence(cli, photos, store, files, arguments, sentence):
    known = {"photos": photos, "store": store.root, "file": files["pair"]}
    result = cli("predict", *(word.format(**known) for word in arguments))
    assert (result.code, result.out) == (2, "")
    assert result.err == f"committee: {sentence.format(**known)}\n"


def test_a_dry_run_counts_the_photos_that_are_left(cli, photos, files, tmp_path):
    table = tmp_path / "out.csv"
    arguments = ("predict", files["pair"], photos, "--csv", table)
    result = cli(*arguments, "--dry-run")
    assert result.code == 0 and result.out.startswith("pair would predict 4 of 4 images in about ")
    assert not table.exists()
    cli(*arguments)
    before = table.read_bytes()
    assert cli(*arguments, "--dry-run").out.startswith("pair would predict 1 of 4 images in about ")
    assert table.read_bytes() == before
    found = json.loads(cli("predict", files["pair"], photos, "--dry-run", "--json").out)
    assert (found["model"], found["photos"]) == ("pair", 4) and found["hours"] > 0


def test_rows_of_another_network_or_photo_of_the_same_name_are_not_kept(
    cli, photos, files, members, tmp_path
):
    """`--csv` compares digests of the model and of each image, not names."""
    folder = shutil.copytree(photos, tmp_path / "photos")
    file = Path(shutil.copy(files["pair"], tmp_path / Path(files["pair"]).name))
    table = tmp_path / "out.csv"
    arguments = ("predict", file, folder / "b.png", folder / "below" / "c.webp", "--csv", table)
    assert cli(*arguments).out.startswith(f"{table}: 2 new, 0 already in the file")
    before = table.read_text(encoding="utf-8")
    Image.open(photos / "a_turned.jpg").save(folder / "b.png")
    assert cli(*arguments, "--dry-run").out.startswith("pair would predict 1 of 2 images in about ")
    result = cli(*arguments)
    assert (result.code, result.out) == (0, f"{table}: 1 new, 1 already in the file, 0 unreadable\n")
    said = "predicted again, since the images have changed or nothing says what the rows were made from: "
    assert f"{table}: {said}'{(folder / 'b.png').as_posix()}'\n" in result.err
    assert sorted(line.partition(",")[0] for line in before.splitlines()) == sorted(
        line.partition(",")[0] for line in table.read_text(encoding="utf-8").splitlines()
    )
    assert table.read_text(encoding="utf-8").splitlines()[1] == before.splitlines()[2]  # c.webp
    (tmp_path / "out.csv.origins").unlink()  # as in files of earlier versions
    assert cli(*arguments).out == f"{table}: 2 new, 0 already in the file, 0 unreadable\n"
    now = table.read_bytes()
    file.write_bytes(Path(files["pair"]).read_bytes())
    assert cli(*arguments).out == f"{table}: 0 new, 2 already in the file, 0 unreadable\n"
    with file.open("ab") as other:
        other.write(b"\x7a\x01x")  # an unknown field of the format: another file of the same name
    result = cli(*arguments)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"committee: {table}: expected predictions of this version of the model, "
        "got those of another with the same name. Give another file, or remove this one.\n"
    )
    assert table.read_bytes() == now
